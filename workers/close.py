"""Closes what an execution leaves behind when it is stopped: takes its open units off the queue, as events.

The transaction that closes an execution does it for the units that nobody works on. Whoever works on one finds
the execution closed when it wants to append, rolls back, and takes that unit off; and if it dies, a sweep does.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from action_ledger.domain import batch, execution, export
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.event import Event, Metadata, Tally
from action_ledger.domain.execution import Execution, ExecutionStatus
from action_ledger.domain.export import open_export
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .effect_kept import summarise
from .steps import reached

SQL = read_blocks("action_ledger.workers", "queue.sql")

AT_ONCE = 1_000
"""Units taken off in one transaction."""


class ExecutionClosed(Exception):  # noqa: N818 - it says what happened, as the errors of the domain do
    """The execution was closed while a unit of it was at work: what the unit did is rolled back."""


class ExecutionHeld(Exception):  # noqa: N818 - as above
    """The execution was paused while it was being planned: the planning is given up, and begins anew later."""


def require_open(transaction: Transaction, execution_id: UUID) -> Execution:
    """Read an execution under the append lock, which this takes. Raises ExecutionClosed."""
    transaction.lock()
    current = current_execution(transaction, execution_id)
    if current is None or current.closed:
        raise ExecutionClosed
    return current


def require_running(transaction: Transaction, execution_id: UUID) -> Execution:
    """The same for a step of planning, which a pause stops. Raises ExecutionHeld too."""
    current = require_open(transaction, execution_id)
    if current.status is ExecutionStatus.PAUSED:
        raise ExecutionHeld
    return current


def current_execution(transaction: Transaction, execution_id: UUID) -> Execution | None:
    """Give an execution as the progress view has it."""
    row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
    if row is None:
        return None
    return Execution(execution_id, row["version"], ExecutionStatus(row["status"]))


def close_units(transaction: Transaction, current: Execution, metadata: Metadata) -> int:
    """Take open units of a closed execution off the queue; give their number. Never waits for one."""
    transaction.lock()
    rows = transaction.execute(
        SQL["open_units"], {"execution_id": current.id, "limit": AT_ONCE}
    ).fetchall()
    events: list[Event] = []
    for row in rows:
        if row["kind"] == "plan":
            planning = current.trigger(execution.PlanningCancelled, metadata)
            current = current.mutate(planning)
            events.append(planning)
        elif row["kind"] == "export":
            events.append(_cancelled_export(current, metadata))
        else:
            status = BatchStatus(row["status"])
            kept = _kept(transaction, current.id, row)
            events.append(
                Batch(row["batch_id"], row["version"], status).trigger(
                    batch.Cancelled,
                    metadata,
                    execution_id=current.id,
                    number=row["number"],
                    records=row["records"],
                    reason=current.status,
                    **kept,
                )
            )
    if events:
        reached("close.before_append")
        transaction.append(*events)
        reached("close.appended")
    return len(events)


def _cancelled_export(current: Execution, metadata: Metadata) -> Event:
    """Say that a file will not be written; what lies of it is cleared away by a sweep."""
    return open_export(current.id).trigger(
        export.Cancelled, metadata, execution_id=current.id, reason=current.status
    )


def _kept(transaction: Transaction, execution_id: UUID, row: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a batch with an effect had done under the leases that it had: it cannot be rolled back."""
    if not row["epoch"]:
        return {"tally": Tally(), "outcomes_digest": None, "effects_digest": None}
    batch_id = row["batch_id"]
    kept = summarise(
        transaction, owner=batch_id, batch_id=batch_id, execution_id=execution_id, undo_id=None
    )
    return kept._asdict()


def tally_of(row: Mapping[str, Any]) -> Tally:
    """Count what a row of the progress view says was done."""
    return Tally(applied=row["applied"], failed=row["failed"], skipped=row["skipped"])
