"""The planned records of a batch: how they are read from its key set, and the write of a change to them."""

from functools import lru_cache

from psycopg import sql

from action_ledger.projections.sql_blocks import Fixed
from action_ledger.projections.store import Transaction

from .change import Change
from .images import (
    aliases,
    array_type,
    columns_of,
    is_exact,
    listed,
    numbered,
    same_key,
    unnested,
    value,
)
from .statements import SQL
from .table import Column, Table
from .write import Write


def write_of(transaction: Transaction, change: Change) -> Write:
    """Give the write of a change to the records of a batch's key set."""
    table = change.table
    return Write(
        table=table,
        kind=change.kind,
        planned=planned_keys(transaction, table),
        located=same_key(columns_of("t", table.key), aliases("q", "k", len(table.key))),
        at_once=_at_once(transaction, table),
        match=change.match,
        assignments=change.assignments,
        captured=change.captured,
        acted=change.acted,
        target=(),
        recorded=(),
        reason=sql.SQL(
            "CASE WHEN {gone} IS NULL THEN 'vanished' WHEN {match} THEN {missed} ELSE 'no_longer_matches' END"
        ).format(
            gone=columns_of("t", table.key)[0],
            match=change.match,
            # A row that matches now may not have done so a moment ago.
            missed=sql.Literal(
                "trigger" if table.may_swallow(change.kind) else "no_longer_matches"
            ),
        ),
    )


def _at_once(transaction: Transaction, table: Table) -> sql.Composable | None:
    """Find the rows of a slice of a batch by its keys as one array.

    Not where a key is several columns, or may be written in several ways: what is kept is the row's key then. Nor
    in a partitioned table: each partition would be looked through for all keys.
    """
    if len(table.key) != 1 or table.partitioned or not is_exact(table.key[0]):
        return None
    return _located_at_once(transaction.schema_name, table.key[0])


@lru_cache(maxsize=128)
def _located_at_once(schema: str, column: Column) -> Fixed:
    (key,), (array,) = columns_of("t", [column]), unnested("s.keys", [column])
    return Fixed(
        SQL["at_once"].format(
            schema=sql.Identifier(schema), key=key, array=array, type=array_type(column)
        )
    )


def planned_keys(transaction: Transaction, table: Table) -> sql.Composable:
    """Read a slice of a batch's key set."""
    return _planned_keys(transaction.schema_name, table.key)


@lru_cache(maxsize=128)
def _planned_keys(schema: str, key: tuple[Column, ...]) -> Fixed:
    names = numbered("k", len(key))
    slices = [sql.SQL("({})[%(lo)s:%(hi)s]").format(array) for array in unnested("s.keys", key)]
    return Fixed(
        SQL["keys_of_batch"].format(
            schema=sql.Identifier(schema),
            key_names=listed(names),
            keys=listed(
                sql.SQL("{} AS {}").format(value(column, name), name)
                for column, name in zip(key, names, strict=True)
            ),
            slices=listed(slices),
        )
    )
