"""Every error that a caller may meet, in one tree, each with a stable code and typed attributes.

ActionLedgerError
├── InvalidCommand
│   ├── SelectionMissing
│   ├── SelectionTwice
│   ├── UnknownTable
│   ├── UnsupportedTable
│   ├── NoPrimaryKey
│   ├── UnknownColumn
│   ├── ColumnNotWritable
│   ├── InvalidValue
│   ├── UnsupportedComparison
│   ├── InvalidExpression
│   ├── UnknownAction
│   ├── InvalidAction
│   ├── UnknownProjection
│   ├── InvalidParameters
│   ├── ActorMissing
│   ├── IrreversibleCascade
│   ├── InvalidCondition
│   ├── UnreadableInput
│   ├── AmbiguousId
│   ├── InvalidSchedule
│   ├── InvalidCron
│   ├── UnknownTimeZone
│   ├── TimeInPast
│   ├── TimeTooFar
│   └── InvalidSetting
├── Refused
│   ├── CommandReused
│   ├── ExecutionNotFound
│   ├── ExecutionEnded
│   ├── ExecutionNotEnded
│   ├── ScheduleNotFound
│   ├── ScheduleClosed
│   ├── UndoExpired
│   ├── AlreadyUndone
│   ├── UndoInProgress
│   ├── NothingToUndo
│   ├── NotReversible
│   ├── UndoConflicts
│   ├── RebuildRunning
│   ├── PermissionDenied
│   ├── ConfirmationRequired
│   ├── ExtraMissing
│   └── SchemaTaken
└── StoreError
    ├── StoreNotMigrated
    ├── StoreTooNew
    ├── MigrationAltered
    ├── EmbeddedUnavailable
    ├── StoreUnavailable
    ├── WorkerFailed
    ├── UnknownTopic
    ├── ProjectionBlocked
    ├── SchemaDrift
    ├── EffectAbandoned
    ├── CommandTimedOut
    └── DatabaseRefused

The docstring of a class is the text of its message: ``{table}`` stands for the attribute of that name.
Attributes are given by keyword. The hint says what to do and ends the message.
A value that the caller wrote may appear in a message, cut short; data read from records never does.
"""

# a caller reads "except UndoExpired"; each name says that it is an error

from datetime import datetime
from uuid import UUID

from typing_extensions import override

from .error_invalid import (
    ActorMissing,
    ColumnNotWritable,
    InvalidAction,
    InvalidCommand,
    InvalidExpression,
    InvalidParameters,
    InvalidValue,
    IrreversibleCascade,
    NoPrimaryKey,
    SelectionMissing,
    SelectionTwice,
    UnknownAction,
    UnknownColumn,
    UnknownProjection,
    UnknownTable,
    UnsupportedComparison,
    UnsupportedTable,
)
from .error_root import ActionLedgerError, Refused, shown
from .error_schedule import (
    InvalidCron,
    InvalidSchedule,
    ScheduleClosed,
    ScheduleNotFound,
    TimeInPast,
    TimeTooFar,
    UnknownTimeZone,
)
from .error_store import (
    CommandTimedOut,
    DatabaseRefused,
    EffectAbandoned,
    EmbeddedUnavailable,
    MigrationAltered,
    ProjectionBlocked,
    SchemaDrift,
    StoreError,
    StoreNotMigrated,
    StoreTooNew,
    StoreUnavailable,
    UnknownTopic,
    WorkerFailed,
)
from .error_usage import AmbiguousId, InvalidCondition, InvalidSetting, UnreadableInput

__all__ = [
    "ActionLedgerError",
    "ActorMissing",
    "AlreadyUndone",
    "AmbiguousId",
    "ColumnNotWritable",
    "CommandReused",
    "CommandTimedOut",
    "ConfirmationRequired",
    "DatabaseRefused",
    "EffectAbandoned",
    "EmbeddedUnavailable",
    "ExecutionEnded",
    "ExecutionNotEnded",
    "ExecutionNotFound",
    "ExtraMissing",
    "InvalidAction",
    "InvalidCommand",
    "InvalidCondition",
    "InvalidCron",
    "InvalidExpression",
    "InvalidParameters",
    "InvalidSchedule",
    "InvalidSetting",
    "InvalidValue",
    "IrreversibleCascade",
    "MigrationAltered",
    "NoPrimaryKey",
    "NotReversible",
    "NothingToUndo",
    "PermissionDenied",
    "ProjectionBlocked",
    "RebuildRunning",
    "Refused",
    "ScheduleClosed",
    "ScheduleNotFound",
    "SchemaDrift",
    "SchemaTaken",
    "SelectionMissing",
    "SelectionTwice",
    "StoreError",
    "StoreNotMigrated",
    "StoreTooNew",
    "StoreUnavailable",
    "TimeInPast",
    "TimeTooFar",
    "UndoConflicts",
    "UndoExpired",
    "UndoInProgress",
    "UnknownAction",
    "UnknownColumn",
    "UnknownProjection",
    "UnknownTable",
    "UnknownTimeZone",
    "UnknownTopic",
    "UnreadableInput",
    "UnsupportedComparison",
    "UnsupportedTable",
    "WorkerFailed",
    "shown",
]


# --- the command is well formed, but the state of the ledger does not allow it now ---


class CommandReused(
    Refused,
    code="command_reused",
    hint="Give every command an id of its own, or send the same again.",
):
    """Another command is in the ledger under the id {command_id}."""

    command_id: UUID | str


class ExecutionNotFound(
    Refused,
    code="execution_not_found",
    hint="List them with `action-ledger executions`.",
):
    """There is no execution {execution_id}."""

    execution_id: UUID | str


class ExecutionEnded(
    Refused,
    code="execution_ended",
    hint="What it did can be undone; what it did not do can be asked for again with `action-ledger retry`.",
):
    """Execution {execution_id} is {status}: there is nothing left of it to steer."""

    execution_id: UUID | str
    status: str


class ExecutionNotEnded(
    Refused, code="execution_not_ended", hint="Wait for its end, or cancel it first."
):
    """Execution {execution_id} is {status}."""

    execution_id: UUID | str
    status: str


class UndoExpired(
    Refused,
    code="undo_expired",
    hint="Its change sets are no longer kept for undo; repair the records with an action of their own.",
):
    """Execution {execution_id} could be undone until {expired_at}."""

    execution_id: UUID | str
    expired_at: datetime


class AlreadyUndone(
    Refused,
    code="already_undone",
    hint="To apply it again, redo it: undo its undo.",
):
    """Execution {execution_id} was already undone."""

    execution_id: UUID | str


class UndoInProgress(
    Refused, code="undo_in_progress", hint="Wait for it, then look at what is left."
):
    """Another undo of execution {execution_id} is at work on the same batches."""

    execution_id: UUID | str


class NothingToUndo(Refused, code="nothing_to_undo"):
    """Execution {execution_id} changed nothing that could be undone."""

    execution_id: UUID | str


class NotReversible(Refused, code="not_reversible"):
    """Execution {execution_id} cannot be undone: {reason}."""

    execution_id: UUID | str
    reason: str


class UndoConflicts(
    Refused,
    code="undo_conflicts",
    hint="Look at them with .conflicts(), then undo with on_conflict skip (leave them) or force (overwrite them).",
):
    """Records that execution {execution_id} changed were changed again since: {conflicts}."""

    execution_id: UUID | str
    conflicts: int


class RebuildRunning(Refused, code="rebuild_running", hint="Wait for it, then look at its status."):
    """Projection {projection} is being rebuilt by somebody else."""

    projection: str


class PermissionDenied(
    Refused,
    code="permission_denied",
    hint="Grant the database login the rights on the table, or use another login.",
):
    """The database does not let this login do that to {table}: {detail}."""

    table: str
    detail: str


class ConfirmationRequired(
    Refused,
    code="confirmation_required",
    hint="Look at it with `action-ledger preview`, then say --yes.",
):
    """The action {action} needs a confirmation: {reason}."""

    action: str
    reason: str


class ExtraMissing(Refused, code="extra_missing"):
    """The package {package} is not installed, and {purpose} needs it."""

    purpose: str
    package: str
    extra: str

    @property
    @override
    def advice(self) -> str:
        """Name the extra to install."""
        return f"Install `action-ledger[{self.extra}]`."


class SchemaTaken(
    Refused, code="schema_taken", hint="Use another database, or rename or drop that schema."
):
    """The schema {schema} is there already and was not made by the demo, so it is left alone."""

    schema: str
