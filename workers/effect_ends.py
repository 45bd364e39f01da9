"""Ends of units with an effect: what was kept of them is counted, listed and fixed by one event."""

from typing import NamedTuple

from psycopg import Error

from action_ledger.domain import batch
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.event import Event
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.projections.store import Transaction

from .claim import Unit
from .effect_kept import SQL, Kept, summarise
from .faults import message_of
from .meter import count_records
from .settle import settle


def end_unit(
    transaction: Transaction,
    unit: Unit,
    *,
    error: str | None,
    cause: Exception | None = None,
    worker: str,
) -> bool:
    """Append the end of a unit, whose row this transaction has locked; False when its execution was closed.

    With an ``error``, the records that nothing is kept of have failed for it; ``cause`` is told in their list.
    """
    if unit.batch_id is None:
        message = f"unit {unit.unit_id} of kind {unit.kind} has no effect"
        raise AssertionError(message)
    if error is not None and (unit.undo_id or not _standing(transaction, unit).closed):
        block = "fail_rest" if unit.undo_id is None else "fail_rest_of_compensation"
        transaction.execute(
            SQL[block],
            {
                "owner": unit.unit_id,
                "batch_id": unit.batch_id,
                "undo_id": unit.undo_id,
                "epoch": unit.epoch,
                "reason": error,
                "message": message_of(cause) if isinstance(cause, Error) else cause and str(cause),
            },
        )
    kept = summarise(
        transaction,
        owner=unit.unit_id,
        batch_id=unit.batch_id,
        execution_id=unit.execution_id,
        undo_id=unit.undo_id,
    )
    event = _end(transaction, unit, kept, error=error, worker=worker)
    transaction.append(event)
    count_records(transaction, unit, kept.tally, done=error is None)
    if isinstance(event, batch.Cancelled):
        return False
    settle(
        transaction, execution_id=unit.execution_id, undo_id=unit.undo_id, metadata=unit.metadata
    )
    return True


class _Standing(NamedTuple):
    batch: Batch
    status: ExecutionStatus

    @property
    def closed(self) -> bool:
        return self.status.closed


def _standing(transaction: Transaction, unit: Unit) -> _Standing:
    row = transaction.execute(SQL["standing"], {"batch_id": unit.batch_id}).fetchone()
    if row is None or unit.batch_id is None:
        message = f"batch {unit.batch_id} is not in the progress view"
        raise AssertionError(message)
    current = Batch(unit.batch_id, row["version"], BatchStatus(row["batch_status"]))
    return _Standing(current, ExecutionStatus(row["status"]))


def _end(
    transaction: Transaction, unit: Unit, kept: Kept, *, error: str | None, worker: str
) -> Event:
    transaction.lock()
    standing = _standing(transaction, unit)
    fields = {
        "execution_id": unit.execution_id,
        "number": unit.number,
        "tally": kept.tally,
        "outcomes_digest": kept.outcomes_digest,
        "effects_digest": kept.effects_digest,
    }
    if unit.undo_id is None and standing.closed:
        return standing.batch.trigger(
            batch.Cancelled,
            unit.metadata,
            records=unit.records,
            reason=standing.status,
            **fields,
        )
    if kept.tally.processed != unit.records:
        message = (
            f"{kept.tally.processed} of {unit.records} records of unit {unit.unit_id} have an end"
        )
        raise AssertionError(message)
    fields |= {"attempt": unit.attempt, "worker": worker}
    if unit.undo_id is None:
        return standing.batch.trigger(batch.Completed, unit.metadata, change_digest=None, **fields)
    fields |= {"undo_id": unit.undo_id, "compensation_id": unit.unit_id}
    if error is not None:
        return standing.batch.trigger(
            batch.CompensationFailed, unit.metadata, error=error, **fields
        )
    return standing.batch.trigger(batch.Compensated, unit.metadata, change_digest=None, **fields)
