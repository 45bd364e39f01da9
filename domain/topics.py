"""The one table from topic to event class. A topic is stored for ever: it may be added, never changed."""

from collections.abc import Mapping
from types import MappingProxyType

from . import batch, execution, export, record_lock, schedule, undo
from .event import Event

_EVENTS: tuple[type[Event], ...] = (
    execution.Requested,
    execution.Planned,
    execution.PlanningFailed,
    execution.PlanningCancelled,
    execution.Paused,
    execution.Resumed,
    execution.Retuned,
    execution.Cancelled,
    execution.Completed,
    execution.Failed,
    execution.RollbackStarted,
    execution.RolledBack,
    batch.Planned,
    batch.Started,
    batch.Completed,
    batch.Failed,
    batch.Split,
    batch.Cancelled,
    batch.CompensationPlanned,
    batch.CompensationStarted,
    batch.Compensated,
    batch.CompensationFailed,
    record_lock.Acquired,
    record_lock.Released,
    record_lock.Broken,
    undo.Requested,
    undo.Completed,
    undo.Failed,
    undo.Rejected,
    schedule.Created,
    schedule.Rescheduled,
    schedule.Paused,
    schedule.Resumed,
    schedule.Cancelled,
    schedule.Fired,
    schedule.Missed,
    schedule.FailedToFire,
    schedule.Ended,
    export.Requested,
    export.Written,
    export.Failed,
    export.Cancelled,
    export.Cleaned,
)

TOPICS: Mapping[str, type[Event]] = MappingProxyType({event.TOPIC: event for event in _EVENTS})
