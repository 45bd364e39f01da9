"""Lists the records of a unit that failed as a whole, each with the reason, without a look at the user's table."""

from typing import Any

from psycopg import Error, sql

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .claim import Unit
from .faults import message_of
from .images import aliases, array_of, listed, numbered

SQL = read_blocks("action_ledger.workers", "fail.sql")

REFUSED = "refused_by_database"
"""The reason where the database has one of its own, which the SQLSTATE tells."""


def list_failed(
    transaction: Transaction, unit: Unit, *, code: str, cause: Exception | None
) -> str | None:
    """Keep every record of the unit as failed for the cause; give the digest over that list for the event."""
    values: dict[str, Any] = {
        "owner": unit.unit_id,
        "batch_id": unit.batch_id,
        "execution_id": unit.execution_id,
        "undo_id": unit.undo_id,
        "of_undo": unit.of_undo,
        **_told(code, cause),
    }
    statement = (
        transaction.compose(SQL["batch"])
        if unit.undo_id is None
        else _of_compensation(transaction, values)
    )
    row = transaction.cursor.execute(statement, values).fetchone()
    return None if row is None else str(row["digest"])


def _of_compensation(transaction: Transaction, values: dict[str, Any]) -> sql.Composed:
    found = transaction.execute(SQL["key_width"], values).fetchone()
    width = int(found["columns"]) if found else 1
    return transaction.compose(
        SQL["compensation"],
        names=listed(numbered("k", width)),
        keys=listed(aliases("u", "k", width)),
        arrays=listed(
            sql.SQL("s.keys[{}]::text[]").format(sql.Literal(n)) for n in range(1, width + 1)
        ),
        gathered=array_of(
            [
                sql.SQL("array_agg({} ORDER BY part, n)::text").format(name)
                for name in aliases("u", "k", width)
            ]
        ),
    )


def _told(code: str, cause: Exception | None) -> dict[str, str | None]:
    """Say it as it is said of a single record. What the database said may hold its data, so it lies apart."""
    if isinstance(cause, Error) and cause.sqlstate is not None:
        return {
            "reason": REFUSED,
            "sqlstate": cause.sqlstate,
            "constraint": cause.diag.constraint_name,
            "message": message_of(cause),
        }
    message = None if cause is None else " ".join(str(cause).split()) or type(cause).__name__
    return {"reason": code, "sqlstate": None, "constraint": None, "message": message}
