"""Ends of units with an effect: what was kept of them is counted, listed and fixed by one event."""

from typing import NamedTuple

from action_ledger.domain import batch
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.event import Event, Tally
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.projections.store import Transaction

from .claim import Unit
from .effect_kept import SQL, Kept, count, summarise
from .settle import settle


def end_unit(transaction: Transaction, unit: Unit, *, error: str | None, worker: str) -> bool:
    """Append the end of a unit, whose row this transaction has locked; False when its execution was closed.

    With an ``error``, the records that nothing is kept of have failed for it.
    """
    if unit.batch_id is None:
        message = f"unit {unit.unit_id} of kind {unit.kind} has no effect"
        raise AssertionError(message)
    values = {"batch_id": unit.batch_id, "epoch": unit.epoch, "reason": error}
    if unit.undo_id is not None and error is not None:
        event = _compensation_failed(transaction, unit, error, worker)
    else:
        if error is not None and not _standing(transaction, unit).closed:
            transaction.execute(SQL["fail_rest"], values)
        kept = summarise(
            transaction,
            owner=unit.unit_id,
            batch_id=unit.batch_id,
            execution_id=unit.execution_id,
            undo_id=unit.undo_id,
        )
        event = _end(transaction, unit, kept, worker)
    transaction.append(event)
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


def _end(transaction: Transaction, unit: Unit, kept: Kept, worker: str) -> Event:
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
    fields |= {"change_digest": None, "attempt": unit.attempt, "worker": worker}
    if unit.undo_id is None:
        return standing.batch.trigger(batch.Completed, unit.metadata, **fields)
    return standing.batch.trigger(
        batch.Compensated,
        unit.metadata,
        undo_id=unit.undo_id,
        compensation_id=unit.unit_id,
        **fields,
    )


def _compensation_failed(transaction: Transaction, unit: Unit, error: str, worker: str) -> Event:
    """Those that were compensated count; all others can be asked for by another undo."""
    done, _ = count(transaction, unit.unit_id)
    transaction.lock()
    return _standing(transaction, unit).batch.trigger(
        batch.CompensationFailed,
        unit.metadata,
        execution_id=unit.execution_id,
        undo_id=unit.undo_id,
        compensation_id=unit.unit_id,
        number=unit.number,
        tally=Tally(applied=done.applied, failed=unit.records - done.applied),
        error=error,
        attempt=unit.attempt,
        worker=worker,
    )
