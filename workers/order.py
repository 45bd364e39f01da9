"""The order in which keys are moved so that none is in the way of another.

A unique index that is not deferrable is checked row by row. Adding 1 to keys without gaps goes through from the
highest down, and taking that back from the lowest up; in any other order each record meets its neighbour.
"""

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

from psycopg import Error, sql

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .images import aliases, array_type, columns_of, decoded, listed, numbered, unnested
from .write import Write

SQL = read_blocks("action_ledger.workers", "order.sql")

Direction = Literal["up", "down"]

OTHER_PLANS = ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_material")


def moves_keys(write: Write) -> bool:
    """Say whether a write sets columns of the key."""
    return write.kind == "update" and any(a.column in write.table.key for a in write.assignments)


def located_unmoved(transaction: Transaction, write: Write) -> sql.Composable:
    """Locate a record where its row has been so far, and not a row that this change has moved to its place."""
    key, captured = write.table.key, write.captured
    if write.kind != "update" or not any(column in captured for column in key):
        return write.located
    arrays = [
        sql.SQL("{}[{}]::{}").format(
            image, sql.Literal(captured.index(column) + 1), array_type(column)
        )
        if column in captured
        else recorded
        for image in (sql.SQL("d.after"), sql.SQL("d.before"))
        for column, recorded in zip(key, unnested("d.keys", key), strict=True)
    ]
    return sql.SQL("{} {}").format(
        write.located,
        transaction.compose(
            SQL["not_put_there"],
            key=listed(columns_of("t", key)),
            has=listed(decoded("w", "k", key)),
            had=listed(decoded("w", "b", key)),
            arrays=listed(arrays),
            names=listed([*numbered("k", len(key)), *numbered("b", len(key))]),
        ),
    )


def direction_of(
    transaction: Transaction, write: Write, values: Mapping[str, Any]
) -> Direction | None:
    """Say where a write moves the keys of its planned records; None where no order is right for all of them."""
    set_to = {assignment.column: assignment.expression for assignment in write.assignments}
    key = write.table.key
    now = columns_of("t", key)
    if any(column.generated for column in key):
        return None  # what it will be is not known before it is written
    statement = transaction.compose(
        SQL["direction"],
        planned=write.planned,
        table=write.table.identifier,
        same_key=write.located,
        match=write.match,
        old=listed(now),
        new=listed(
            sql.SQL("({})::{}").format(set_to[column], column.plain_type_sql)
            if column in set_to
            else current
            for column, current in zip(key, now, strict=True)
        ),
    )
    try:
        with transaction.savepoint():
            row = transaction.cursor.execute(statement, values).fetchone()
    except Error:
        return None  # one of them cannot be computed; it will be found by halving
    if row is None or bool(row["up"]) == bool(row["down"]):
        return None
    return "up" if row["up"] else "down"


def ordered(transaction: Transaction, write: Write, direction: Direction) -> sql.Composed:
    """Read the planned records so that each leaves before another needs its place."""
    order = sql.SQL("{} DESC" if direction == "up" else "{}")
    return transaction.compose(
        SQL["ordered"],
        planned=write.planned,
        order=listed(order.format(name) for name in aliases("p", "k", len(write.table.key))),
    )


def kept_in_order(transaction: Transaction) -> AbstractContextManager[None]:
    """Let the planner keep to the order of the planned records, within this block."""
    return planned_without(transaction, *OTHER_PLANS)


@contextmanager
def planned_without(transaction: Transaction, *plans: str) -> Generator[None]:
    """Let the planner leave some kinds of plan out, by the names of their settings, within this block."""
    names = [sql.Literal(name) for name in plans]
    row = transaction.cursor.execute(
        transaction.compose(
            SQL["settings"],
            settings=listed(
                sql.SQL("current_setting({}) AS {}").format(literal, sql.Identifier(name))
                for literal, name in zip(names, plans, strict=True)
            ),
        )
    ).fetchone()
    before = row or dict.fromkeys(plans, "on")
    _set_planner(transaction, dict.fromkeys(plans, "off"))
    yield  # after an error the savepoint takes the settings back
    _set_planner(transaction, before)


def _set_planner(transaction: Transaction, values: Mapping[str, str]) -> None:
    settings = listed(
        sql.SQL("set_config({}, {}, true)").format(sql.Literal(name), sql.Literal(value))
        for name, value in values.items()
    )
    transaction.cursor.execute(transaction.compose(SQL["settings"], settings=settings))
