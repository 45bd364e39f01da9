"""What may happen and what did: aggregates, events, commands, selections, errors."""

from .actions import Action, Actions, Reversibility
from .any_command import AnyCommand
from .chain import ChainStatus, OnStepFailure
from .chain_commands import ChainStep, RequestChain
from .columns import col
from .commands import (
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
from .hooks import HookEvent, Notice, Notify
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
    "ChainStatus",
    "ChainStep",
    "ConflictPolicy",
    "CreateSchedule",
    "Cron",
    "Effect",
    "EffectContext",
    "Everything",
    "ExecutionStatus",
    "HookEvent",
    "Keys",
    "Notice",
    "Notify",
    "OnStepFailure",
    "PauseSchedule",
    "Predicate",
    "RequestChain",
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
