"""The audit view: every event, by position, with who and what. Runs behind a follower."""

from typing import ClassVar
from uuid import UUID

from action_ledger.domain.batch import BatchEvent
from action_ledger.domain.chain import ChainEvent
from action_ledger.domain.command import Rejected
from action_ledger.domain.event import Event
from action_ledger.domain.export import ExportEvent
from action_ledger.domain.preview import Used
from action_ledger.domain.record_lock import LockEvent
from action_ledger.domain.schedule import Fired
from action_ledger.domain.undo import UndoEvent

from .projection import Recorded
from .rows import Rows

TABLE = "audit"
_APART = {
    *("originator_id", "originator_version", "metadata"),
    *("execution_id", "undo_id", "subject"),
}


class Audit:
    """One row an event. Nothing is ever changed or cut off in it."""

    name: ClassVar[str] = "audit"
    tables: ClassVar[dict[str, str]] = {TABLE: "position"}

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        event = recorded.event
        execution_id, batch_id, undo_id = _ids(event)
        rows.put(
            TABLE,
            recorded.position,
            {
                "recorded_at": recorded.recorded_at,
                "topic": event.TOPIC,
                "execution_id": execution_id,
                "batch_id": batch_id,
                "undo_id": undo_id,
                "actor": event.metadata.actor,
                "issuer": event.metadata.issuer,
                "on_behalf_of": event.metadata.on_behalf_of,
                "contact": event.metadata.contact,
                "correlation_id": event.metadata.correlation_id,
                "details": event.model_dump(exclude=_apart(event)),
            },
        )


def _apart(event: Event) -> set[str]:
    """Name the fields that have columns of their own; an execution that is not what the event is about has none."""
    match event:
        case ChainEvent():
            return _APART - {"execution_id", "undo_id"}
        case Fired() | Used():
            return _APART - {"execution_id"}
        case _:
            return _APART


def _ids(event: Event) -> tuple[UUID, UUID | None, UUID | None]:
    """Find the execution, the batch and the undo that an event is about.

    In place of the execution it is the schedule, the chain, the preview, or what a rejected command was about.
    """
    match event:
        case BatchEvent():
            return event.execution_id, event.originator_id, getattr(event, "undo_id", None)
        case UndoEvent():
            return event.execution_id, None, event.originator_id
        case LockEvent():
            return event.execution_id, None, event.undo_id
        case Rejected():
            return event.subject, None, None
        case ExportEvent():
            return event.execution_id, None, None
        case _:
            return event.originator_id, None, None
