"""The applier: does to one batch's records what its action says, in the caller's transaction."""

from uuid import UUID

from psycopg import sql

from action_ledger.domain.batch import Batch, Completed
from action_ledger.domain.event import Metadata
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
from .slices import Slices, digest_of, outcomes_digest_of
from .statements import SQL
from .table import Table
from .write import Owner, Write
from .writer import Writer

MOST_MOVES_FAILED = 100
"""Records of a change of keys that may fail: it is one batch whatever its size, and to find each takes long."""


def apply_batch(
    transaction: Transaction,
    change: Change,
    batch: Batch,
    *,
    execution_id: UUID,
    number: int,
    records: int,
    attempt: int,
    worker: str,
    metadata: Metadata,
    divisible: bool = False,
) -> Completed:
    """Change the batch's records; give the event that says so, to be appended in this transaction.

    From its second attempt on it takes the rows in key order first, since the first may have met a deadlock. One
    that is ``divisible`` leaves what is too much for one transaction to smaller batches, as the driver's error.
    """
    owner = Owner(
        id=batch.id,
        batch_id=batch.id,
        execution_id=execution_id,
        undo_id=None,
        batch_version=batch.version + 1,
        direction="do",
    )
    write = _write(transaction, change)
    writer = Writer(
        transaction, owner, write, change.parameters, ordered=attempt > 1, reach=change.reach
    )
    slices = Slices(
        transaction,
        writer,
        divisible=divisible,
        unhindered=divisible and attempt > 1,
        most_failures=MOST_MOVES_FAILED if change.moves_keys else None,
    )
    slices.apply(1, records)
    if change.kind == "update" and change.table.may_follow("update"):
        slices.read_again()
    return batch.trigger(
        Completed,
        metadata,
        execution_id=execution_id,
        number=number,
        tally=slices.tally,
        change_digest=digest_of(slices.digests),
        outcomes_digest=outcomes_digest_of(transaction, batch.id, slices.tally),
        sqlstates=dict(slices.sqlstates),
        reached=dict(slices.reached),
        attempt=attempt,
        worker=worker,
    )


def _write(transaction: Transaction, change: Change) -> Write:
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
