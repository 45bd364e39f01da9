"""What may happen and what did: aggregates, events, commands, selections, errors."""

from .actions import Action, Actions, Parameters, Reversibility
from .actor import Actor
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
from .definitions import effect, record_action, set_action
from .effects import Effect, EffectContext
from .errors import ActionLedgerError
from .execution import ExecutionStatus
from .hooks import HookEvent, Notice, Notify
from .record_actions import RecordAction
from .resource import Resource
from .rule import At, Cron
from .schedule import CatchUp, ScheduleStatus
from .selection import Everything, Keys, Predicate, Selection, Where
from .set_actions import Changes, SetAction, TableShape
from .undo import ConflictPolicy, UndoStatus

__all__ = [
    "Action",
    "ActionLedgerError",
    "Actions",
    "Actor",
    "AnyCommand",
    "At",
    "CancelSchedule",
    "CatchUp",
    "ChainStatus",
    "ChainStep",
    "Changes",
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
    "Parameters",
    "PauseSchedule",
    "Predicate",
    "RecordAction",
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
    "SetAction",
    "TableShape",
    "UndoStatus",
    "Where",
    "col",
    "effect",
    "record_action",
    "set_action",
]
