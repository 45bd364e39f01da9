"""Settle: brings an execution or an undo to its end when nothing of it is open.

Every transaction that appends ends with this, after the append lock: so the last batch, a planner that ends
last, an empty plan and a failed batch all lead to one completion event, and to never more than one.
"""

from uuid import UUID

from action_ledger.domain import execution, undo
from action_ledger.domain.event import Event, Metadata, Tally
from action_ledger.domain.execution import Execution, ExecutionStatus
from action_ledger.domain.undo import Undo, UndoStatus
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

SQL = read_blocks("action_ledger.workers", "queue.sql")


def settle(
    transaction: Transaction, *, execution_id: UUID, undo_id: UUID | None, metadata: Metadata
) -> None:
    """Append the end of the job, if it has come. The transaction holds the append lock."""
    event = (
        _end_of_execution(transaction, execution_id, metadata)
        if undo_id is None
        else _end_of_undo(transaction, undo_id, metadata)
    )
    if event is not None:
        transaction.append(event)


def _end_of_execution(
    transaction: Transaction, execution_id: UUID, metadata: Metadata
) -> Event | None:
    row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
    if row is None or not row["total_final"] or row["batches_done"] < row["batches"]:
        return None
    current = Execution(execution_id, row["version"], ExecutionStatus(row["status"]))
    if not current.allows(execution.Completed):
        return None
    tally = Tally(applied=row["applied"], failed=row["failed"], skipped=row["skipped"])
    failure = transaction.execute(
        SQL["systemic_failure"], {"execution_id": execution_id}
    ).fetchone()
    error = row["error"] or (failure and failure["error"])
    if error:
        return current.trigger(execution.Failed, metadata, error=error, tally=tally)
    return current.trigger(execution.Completed, metadata, tally=tally)


def _end_of_undo(transaction: Transaction, undo_id: UUID, metadata: Metadata) -> Event | None:
    row = transaction.execute(SQL["undo"], {"undo_id": undo_id}).fetchone()
    if row is None or row["batches_done"] < row["batches"]:
        return None
    current = Undo(undo_id, row["version"], UndoStatus(row["status"]))
    if not current.allows(undo.Completed):
        return None
    tally = Tally(applied=row["applied"], failed=row["failed"], skipped=row["skipped"])
    fields = {"execution_id": row["execution_id"], "tally": tally}
    if row["error"]:
        return current.trigger(undo.Failed, metadata, error=row["error"], **fields)
    return current.trigger(undo.Completed, metadata, **fields)
