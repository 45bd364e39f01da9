"""What may happen and what did: aggregates, events, commands, selections, errors."""

from .actions import Action, Actions, Reversibility
from .columns import col
from .commands import (
    AnyCommand,
    CancelSchedule,
    CreateSchedule,
    PauseSchedule,
    RequestExecution,
    RequestUndo,
    Reschedule,
    ResumeSchedule,
    RunScheduleNow,
)
from .effects import Effect, EffectContext
from .errors import ActionLedgerError
from .execution import ExecutionStatus
from .resource import Resource
from .rule import At, Cron
from .schedule import CatchUp, ScheduleStatus
from .selection import Everything, Keys, Predicate, Selection, Where
from .undo import ConflictPolicy, UndoStatus

__all__ = [
    "Action",
    "ActionLedgerError",
    "Actions",
    "AnyCommand",
    "At",
    "CancelSchedule",
    "CatchUp",
    "ConflictPolicy",
    "CreateSchedule",
    "Cron",
    "Effect",
    "EffectContext",
    "Everything",
    "ExecutionStatus",
    "Keys",
    "PauseSchedule",
    "Predicate",
    "RequestExecution",
    "RequestUndo",
    "Reschedule",
    "Resource",
    "ResumeSchedule",
    "Reversibility",
    "RunScheduleNow",
    "ScheduleStatus",
    "Selection",
    "UndoStatus",
    "Where",
    "col",
]
