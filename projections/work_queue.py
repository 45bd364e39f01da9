"""The work queue: one row for everything that a worker can take up. Runs inline.

A row's lock is the lease of the one who works on it, so this view is never switched to another generation.
"""

from typing import Any, ClassVar
from uuid import UUID

from action_ledger.domain import batch, execution

from .projection import Recorded
from .rows import Rows

TABLE = "work_queue"


class WorkQueue:
    """Open planning, open batches, open compensations."""

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
        "available_at": "-infinity",
        "last_error": None,
        "leased_by": None,
        "leased_until": None,
        "leased_epoch": None,
    }
