"""The work queue: one row for everything that a worker can take up. Runs inline.

A row's lock is the lease of the one who works on it, so this view is never switched to another generation.
"""

from collections.abc import Iterable
from typing import Any, ClassVar
from uuid import UUID

from action_ledger.domain import batch, chain, execution, export, record_lock, undo
from action_ledger.domain.event import Event

from .projection import Recorded
from .rows import Rows

TABLE = "work_queue"
LAST = 2**31 - 1
"""The ordinal of what comes after every batch."""

WORK, NEWS = "work", "news"
"""What a transaction announces: that it queued something, or else that followers have something to read."""


def announcement(events: Iterable[Event], *, queued: bool) -> str | None:
    """Say what a transaction announces when it commits; ``queued`` is whether it adds rows to the queue.

    What lies between a job's beginning and its end is not announced: followers find it a second later.
    """
    if queued or any(isinstance(event, _LETS_GO) for event in events):
        return WORK
    return NEWS if any(isinstance(event, _ENDS) for event in events) else None


_LETS_GO = (
    execution.Resumed
    | execution.Retuned
    | execution.RollbackStarted
    | chain.Resumed
    | record_lock.Released
    | record_lock.Broken
)
"""Events after which a worker may find something to do although nothing is new on the queue."""
_ENDS = (
    execution.Completed
    | execution.Failed
    | execution.Cancelled
    | execution.RolledBack
    | undo.Completed
    | undo.Failed
    | chain.Completed
    | chain.Failed
    | chain.Cancelled
    | chain.Compensated
)


class WorkQueue:
    """Open planning, open batches, open compensations, files to be written."""

    name: ClassVar[str] = "work_queue"
    tables: ClassVar[dict[str, str]] = {TABLE: "unit_id"}

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        event = recorded.event
        match event:
            case execution.Requested():
                rows.put(
                    TABLE,
                    event.originator_id,
                    _unit("plan", event.originator_id, event.originator_id),
                )
            case execution.Planned() | execution.PlanningFailed() | execution.PlanningCancelled():
                rows.drop(TABLE, event.originator_id)
            case batch.Planned():
                rows.put(
                    TABLE,
                    event.originator_id,
                    _unit("batch", event.execution_id, event.execution_id)
                    | {
                        "batch_id": event.originator_id,
                        "ordinal": event.number,
                        "records": event.records,
                    },
                )
            case batch.Completed() | batch.Failed() | batch.Split() | batch.Cancelled():
                rows.drop(TABLE, event.originator_id)
            case batch.CompensationPlanned():
                rows.put(
                    TABLE,
                    event.compensation_id,
                    _unit("compensation", event.undo_id, event.execution_id)
                    | {
                        "undo_id": event.undo_id,
                        "batch_id": event.originator_id,
                        "ordinal": event.ordinal,
                        "records": event.records,
                        "serial": event.serial,
                    },
                )
            case batch.Compensated() | batch.CompensationFailed():
                rows.drop(TABLE, event.compensation_id)
            case export.Requested():
                # Serial and last: nobody takes it up while anything else of the execution is open.
                rows.put(
                    TABLE,
                    event.originator_id,
                    _unit("export", event.execution_id, event.execution_id)
                    | {"ordinal": LAST, "serial": True},
                )
            case export.Written() | export.Failed() | export.Cancelled():
                rows.drop(TABLE, event.originator_id)
            case _:
                pass


def _unit(kind: str, job_id: UUID, execution_id: UUID) -> dict[str, Any]:
    return {
        "kind": kind,
        "job_id": job_id,
        "execution_id": execution_id,
        "undo_id": None,
        "batch_id": None,
        "ordinal": 0,
        "records": 0,
        "serial": False,
        "attempts": 0,
        "faults": 0,
        "available_at": "-infinity",
        "last_error": None,
        "leased_by": None,
        "leased_until": None,
        "leased_epoch": None,
    }
