"""Says that a unit of work failed for good, so that its job can come to an end."""

from action_ledger.domain import batch, execution
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.errors import RecordsLocked
from action_ledger.domain.event import Tally
from action_ledger.domain.execution import Execution, ExecutionStatus
from action_ledger.projections.store import Transaction

from .claim import SQL, Unit, holds
from .close import require_open, require_running
from .effect_ends import end_unit
from .export_unit import fail_export
from .fail_list import list_failed
from .meter import count_records
from .settle import settle
from .steps import reached


def fail_unit(
    transaction: Transaction,
    unit: Unit,
    *,
    error: str,
    worker: str,
    cause: Exception | None = None,
) -> None:
    """Append the failure, unless somebody else has brought the unit to its end meanwhile.

    ``error`` is what the event says of it; ``cause`` is kept beside the list of its records.
    """
    if not holds(transaction, unit):
        return
    if unit.kind == "plan":
        require_running(transaction, unit.execution_id)
        owners = cause.owners if isinstance(cause, RecordsLocked) else ()
        _fail_plan(transaction, unit, error, owners)
        return
    if unit.kind == "export":
        fail_export(transaction, unit, error=error)
        return
    if unit.epoch:
        # A lease was taken before: what was done under it is done.
        end_unit(transaction, unit, error=error, cause=cause, worker=worker)
        return
    if unit.undo_id is None:
        require_open(transaction, unit.execution_id)
    if unit.batch_id is None or unit.batch_version is None:
        message = f"unit {unit.unit_id} of kind {unit.kind} has no batch"
        raise AssertionError(message)
    compensating = unit.undo_id is not None
    current = Batch(
        unit.batch_id,
        unit.batch_version,
        BatchStatus.COMPENSATING if compensating else BatchStatus.PLANNED,
    )
    digest = list_failed(transaction, unit, code=error, cause=cause)
    reached("fail.listed")
    transaction.lock()
    fields = {
        "execution_id": unit.execution_id,
        "number": unit.number,
        "tally": Tally(failed=unit.records),
        "error": error,
        "outcomes_digest": digest,
        "attempt": unit.attempt,
        "worker": worker,
    }
    transaction.append(
        current.trigger(
            batch.CompensationFailed,
            unit.metadata,
            undo_id=unit.undo_id,
            compensation_id=unit.unit_id,
            **fields,
        )
        if compensating
        else current.trigger(batch.Failed, unit.metadata, **fields)
    )
    reached("fail.appended")
    count_records(transaction, unit, Tally(failed=unit.records), done=False)
    settle(
        transaction, execution_id=unit.execution_id, undo_id=unit.undo_id, metadata=unit.metadata
    )


def _fail_plan(transaction: Transaction, unit: Unit, error: str, owners: tuple[str, ...]) -> None:
    """End the planning; batches that were planned before still come to their end, and settle waits for them."""
    row = transaction.execute(SQL["execution"], {"execution_id": unit.execution_id}).fetchone()
    if row is None:
        return
    current = Execution(unit.execution_id, row["version"], ExecutionStatus(row["status"]))
    transaction.append(
        current.trigger(
            execution.PlanningFailed,
            unit.metadata,
            error=error,
            batches=row["batches"],
            records=row["total"],
            owners=owners,
        )
    )
    reached("fail.planning_ended")
    settle(transaction, execution_id=unit.execution_id, undo_id=None, metadata=unit.metadata)
