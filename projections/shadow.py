"""Shadows: temporary tables that a view is folded into, to be compared with the live one."""

from psycopg import sql

from .follower import SQL
from .store import Transaction


def create_shadow(transaction: Transaction, table: str) -> None:
    """Make one, for the time of the transaction."""
    name, live = sql.Identifier(_name(table)), transaction.views.relation(table)
    transaction.cursor.execute(SQL["create_shadow"].format(shadow=name, live=live))


def shadow_of(table: str) -> sql.Identifier:
    """Name the shadow of a view's table."""
    return sql.Identifier("pg_temp", _name(table))


def _name(table: str) -> str:
    return f"rebuilt_{table}"
