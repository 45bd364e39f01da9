"""The applier: does to one batch's records what its action says, in the caller's transaction."""

from uuid import UUID

from action_ledger.domain.batch import Batch, Completed
from action_ledger.domain.event import Metadata
from action_ledger.projections.store import Transaction

from .change import Change
from .planned import write_of
from .record_batch import RecordBatch
from .slices import Slices, digest_of, outcomes_digest_of
from .write import Owner
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
    done: Slices | RecordBatch
    if change.by_record is None:
        done = _apply(transaction, change, owner, records, attempt=attempt, divisible=divisible)
    else:
        done = RecordBatch(transaction, change, change.by_record, owner, divisible=divisible)
        done.apply(1, records)
    return batch.trigger(
        Completed,
        metadata,
        execution_id=execution_id,
        number=number,
        tally=done.tally,
        change_digest=digest_of(done.digests),
        outcomes_digest=outcomes_digest_of(transaction, batch.id, done.tally.behind),
        sqlstates=dict(done.sqlstates),
        reached=dict(done.reached) if isinstance(done, Slices) else {},
        attempt=attempt,
        worker=worker,
    )


def _apply(
    transaction: Transaction,
    change: Change,
    owner: Owner,
    records: int,
    *,
    attempt: int,
    divisible: bool,
) -> Slices:
    """Change the records by one statement, or by as few as their faults allow."""
    write = write_of(transaction, change)
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
    return slices
