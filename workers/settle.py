"""Settle: brings an execution or an undo to its end when nothing of it is open, or when too much of it failed.

Every transaction that appends ends with this, after the append lock: so the last batch, a planner that ends
last, an empty plan and a failed batch all lead to one completion event, and to never more than one.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from action_ledger.domain import execution, undo
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.execution import Execution, ExecutionStatus, rollback_id
from action_ledger.domain.failure import OnFailure, too_many
from action_ledger.domain.undo import Undo, UndoStatus
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .close import close_units, current_execution, tally_of
from .lock_ends import released
from .meter import measure_execution
from .pace import forget_pace
from .steps import reached

SQL = read_blocks("action_ledger.workers", "queue.sql")

TOO_MANY_FAILURES = "too_many_failures"
"""The error of an execution whose policy for failures ended it."""


def settle(
    transaction: Transaction, *, execution_id: UUID, undo_id: UUID | None, metadata: Metadata
) -> bool:
    """Append the end of the job, if it has come, and say whether it has. The transaction holds the append lock."""
    if undo_id is not None:
        return _settle_undo(transaction, undo_id, metadata)
    row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
    if row is None:
        return False
    current = Execution(execution_id, row["version"], ExecutionStatus(row["status"]))
    event = end_of_execution(current, row, metadata, error=_error(transaction, row))
    if event is None:
        return False
    _append_end(transaction, row, current, event)
    return True


def stop(transaction: Transaction, execution_id: UUID, *, error: str) -> None:
    """End an execution whatever is open of it, for a reason that concerns all of it; take the append lock for it.

    What is done stays, or is taken back where its policy for failures says so. One that is closed stays as it is.
    """
    transaction.lock()
    row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
    if row is None:
        return
    current = Execution(execution_id, row["version"], ExecutionStatus(row["status"]))
    if current.closed:
        return
    metadata = Metadata(
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_id=execution_id,
        traceparent=row["traceparent"],
    )
    kind = _failure_of(OnFailure(row["on_failure"]))
    _append_end(
        transaction, row, current, current.trigger(kind, metadata, error=error, tally=tally_of(row))
    )


def _append_end(
    transaction: Transaction, row: Mapping[str, Any], current: Execution, event: Event
) -> None:
    reached("settle.before_append")
    end = current.mutate(event)
    lock_end = released(transaction, row, event.metadata) if end.ended else []
    ended, *_ = transaction.append(event, *lock_end)
    reached("settle.appended")
    measure_execution(transaction, row, end.status, ended.recorded_at)
    forget_pace(transaction, current.id)
    if not _is_done(row):
        close_units(transaction, end, event.metadata)


def end_of_execution(
    current: Execution, row: Mapping[str, Any], metadata: Metadata, *, error: str | None
) -> Event | None:
    """Give the event that an execution's row calls for. ``error`` is of what concerned more than single records."""
    if current.closed:
        return None
    tally = tally_of(row)
    policy = OnFailure(row["on_failure"])
    if policy is not OnFailure.CONTINUE and too_many(
        tally.failed,
        row["total"],
        max_failures=row["max_failures"],
        max_failure_ratio=row["max_failure_ratio"],
    ):
        error = error or TOO_MANY_FAILURES
    elif not _is_done(row):
        return None
    if error is None:
        return current.trigger(execution.Completed, metadata, tally=tally)
    return current.trigger(_failure_of(policy), metadata, error=error, tally=tally)


def _failure_of(policy: OnFailure) -> type[execution.RollbackStarted | execution.Failed]:
    return execution.RollbackStarted if policy is OnFailure.ROLLBACK else execution.Failed


def _is_done(row: Mapping[str, Any]) -> bool:
    done = row["total_final"] and row["batches_done"] >= row["batches"]
    return bool(done and not row["exporting"])


def _error(transaction: Transaction, row: Mapping[str, Any]) -> str | None:
    if row["error"] or not _is_done(row):
        return row["error"] and str(row["error"])
    found = transaction.execute(
        SQL["systemic_failure"], {"execution_id": row["execution_id"]}
    ).fetchone()
    return str(found["error"]) if found else None


def _settle_undo(transaction: Transaction, undo_id: UUID, metadata: Metadata) -> bool:
    row = transaction.execute(SQL["undo"], {"undo_id": undo_id}).fetchone()
    if row is None or row["batches_done"] < row["batches"]:
        return False
    current = Undo(undo_id, row["version"], UndoStatus(row["status"]))
    if not current.allows(undo.Completed):
        return False
    execution_id, tally, error = row["execution_id"], tally_of(row), row["error"]
    fields = {"execution_id": execution_id, "tally": tally}
    events: list[Event] = [
        current.trigger(undo.Failed, metadata, error=error, **fields)
        if error
        else current.trigger(undo.Completed, metadata, **fields)
    ]
    events += released(transaction, row, metadata, undo_id=undo_id)
    if undo_id == rollback_id(execution_id):
        undone = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
        rolling = current_execution(transaction, execution_id)
        if undone is not None and rolling is not None and rolling.allows(execution.RolledBack):
            end = (
                rolling.trigger(execution.Failed, metadata, error=error, tally=tally_of(undone))
                if error
                else rolling.trigger(execution.RolledBack, metadata, undo_id=undo_id)
            )
            reached("settle.before_undo_append")
            lock_end = released(transaction, undone, metadata)
            ended = transaction.append(*events, end, *lock_end)[len(events)]
            reached("settle.undo_appended")
            measure_execution(transaction, undone, rolling.mutate(end).status, ended.recorded_at)
            return True
    reached("settle.before_undo_append")
    transaction.append(*events)
    reached("settle.undo_appended")
    return True
