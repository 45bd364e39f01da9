"""The planned records of a batch: how they are read from its key set, and the write of a change to them."""

from psycopg import sql

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
from .table import Table
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
    (key,), (array,) = columns_of("t", table.key), unnested("s.keys", table.key)
    return transaction.compose(SQL["at_once"], key=key, array=array, type=array_type(table.key[0]))


def planned_keys(transaction: Transaction, table: Table) -> sql.Composable:
    """Read a slice of a batch's key set."""
    names = numbered("k", len(table.key))
    slices = [
        sql.SQL("({})[%(lo)s:%(hi)s]").format(array) for array in unnested("s.keys", table.key)
    ]
    return transaction.compose(
        SQL["keys_of_batch"],
        key_names=listed(names),
        keys=listed(
            sql.SQL("{} AS {}").format(value(column, name), name)
            for column, name in zip(table.key, names, strict=True)
        ),
        slices=listed(slices),
    )
