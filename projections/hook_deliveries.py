"""The deliveries of hooks: one row for every hook that a job has named. Runs behind a follower.

Events say what is to be delivered, and up to which position there is news; the columns that workers keep say what
was. So this view is never switched to another generation: what was told once would be told again.
"""

from typing import Any, ClassVar
from uuid import UUID

from action_ledger.domain import batch, chain, execution, undo
from action_ledger.domain.event import Event
from action_ledger.domain.hooks import (
    HookEvent,
    Notify,
    after_complete_hook,
    after_complete_id,
    subscription_id,
)

from .projection import Recorded
from .rows import Rows

TABLE = "hook_deliveries"

_COMPLETED = execution.Completed | undo.Completed | chain.Completed
_OTHER_END = (
    execution.Failed
    | execution.Cancelled
    | execution.RolledBack
    | undo.Failed
    | chain.Failed
    | chain.Cancelled
    | chain.Compensated
)


class HookDeliveries:
    """Rows that wait until something happens of which a hook is to be told, and rows with news."""

    name: ClassVar[str] = "hook_deliveries"
    tables: ClassVar[dict[str, str]] = {TABLE: "subscription_id"}

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        event = recorded.event
        match event:
            case execution.Requested():
                _subscribe(rows, event, event.notify, kind="execution")
                _subscribe_action(rows, event)
            case undo.Requested():
                _subscribe(rows, event, event.notify, kind="undo")
            case chain.Requested():
                _subscribe(rows, event, event.notify, kind="chain")
            case batch.Completed() | batch.Failed():
                _tell(rows, recorded, event.execution_id, HookEvent.PROGRESS)
            case batch.Compensated() | batch.CompensationFailed():
                _tell(rows, recorded, event.undo_id, HookEvent.PROGRESS)
            case chain.StepEnded() | chain.StepRefused() | chain.StepCompensated():
                _tell(rows, recorded, event.originator_id, HookEvent.PROGRESS)
            case _ if isinstance(event, _COMPLETED):
                _tell(rows, recorded, event.originator_id, HookEvent.COMPLETE)
                _tell_row(rows, recorded, after_complete_id(event.originator_id))
            case _ if isinstance(event, _OTHER_END):
                _tell(rows, recorded, event.originator_id, HookEvent.FAILURE)
            case _:
                pass


def _subscribe(rows: Rows, event: Event, notify: Notify | None, *, kind: str) -> None:
    if notify is None:
        return
    for name, hook in notify.model_dump(exclude_none=True).items():
        awaited = HookEvent(name)
        id_ = subscription_id(event.originator_id, awaited)
        _await(rows, event, id_, kind=kind, awaited=awaited, hook=hook)


def _subscribe_action(rows: Rows, event: execution.Requested) -> None:
    """Let the action's own hook be told, where it has one."""
    if event.after_complete:
        _await(
            rows,
            event,
            after_complete_id(event.originator_id),
            kind="execution",
            awaited=HookEvent.COMPLETE,
            hook=after_complete_hook(event.action),
        )


def _await(
    rows: Rows, event: Event, id_: UUID, *, kind: str, awaited: HookEvent, hook: str
) -> None:
    rows.put(
        TABLE,
        id_,
        {
            "job_id": event.originator_id,
            "kind": kind,
            "event": awaited,
            "hook": hook,
            "position": None,
            "happened_at": None,
            "delivered": 0,
            "attempts": 0,
            "available_at": "-infinity",
            "last_error": None,
            "parked_at": None,
        },
    )


def _tell(rows: Rows, recorded: Recorded, job_id: UUID, event: HookEvent) -> None:
    """Say that there is news. Where nobody has named a hook for it there is no row, and nothing happens."""
    _tell_row(rows, recorded, subscription_id(job_id, event))


def _tell_row(rows: Rows, recorded: Recorded, id_: UUID) -> None:
    news: dict[str, Any] = {"position": recorded.position, "happened_at": recorded.recorded_at}
    rows.patch(TABLE, id_, **news)
