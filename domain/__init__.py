"""What may happen and what did: aggregates, events, commands, selections, errors."""

from .actions import Action, Actions, Reversibility
from .columns import col
from .commands import AnyCommand, RequestExecution, RequestUndo
from .effects import Effect, EffectContext
from .errors import ActionLedgerError
from .execution import ExecutionStatus
from .resource import Resource
from .selection import Everything, Keys, Predicate, Selection, Where
from .undo import ConflictPolicy, UndoStatus

__all__ = [
    "Action",
    "ActionLedgerError",
    "Actions",
    "AnyCommand",
    "ConflictPolicy",
    "Effect",
    "EffectContext",
    "Everything",
    "ExecutionStatus",
    "Keys",
    "Predicate",
    "RequestExecution",
    "RequestUndo",
    "Resource",
    "Reversibility",
    "Selection",
    "UndoStatus",
    "Where",
    "col",
]
