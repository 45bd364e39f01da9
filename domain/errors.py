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
│   ├── CommandTooLarge
│   ├── UnsupportedComparison
│   ├── InvalidExpression
│   ├── UnknownAction
│   ├── InvalidAction
│   ├── UnknownProjection
│   ├── InvalidParameters
│   ├── ActorMissing
│   ├── IrreversibleCascade
│   ├── InvalidUsage
│   ├── InvalidCondition
│   ├── UnreadableInput
│   ├── AmbiguousId
│   ├── AppNotFound
│   ├── InvalidApp
│   ├── InvalidSchedule
│   ├── InvalidCron
│   ├── UnknownTimeZone
│   ├── TimeInPast
│   ├── TimeTooFar
│   ├── InvalidContext
│   ├── InvalidChain
│   ├── StepNotCompensable
│   ├── InvalidHook
│   ├── UnknownHook
│   ├── ExportTooLarge
│   ├── ExportPathRefused
│   ├── UnfitValue
│   └── InvalidSetting
├── Refused
│   ├── CommandReused
│   ├── ExecutionNotFound
│   ├── ExecutionEnded
│   ├── ExecutionNotEnded
│   ├── ScheduleNotFound
│   ├── ScheduleClosed
│   ├── ChainNotFound
│   ├── ChainClosed
│   ├── UndoExpired
│   ├── AlreadyRetried
│   ├── AlreadyUndone
│   ├── UndoInProgress
│   ├── NothingToUndo
│   ├── NotReversible
│   ├── ColumnsNotUndoable
│   ├── UndoConflicts
│   ├── RecordsLocked
│   ├── LockNotHeld
│   ├── RebuildRunning
│   ├── PermissionDenied
│   ├── ConfirmationRequired
│   ├── ConfirmationInvalid
│   ├── SelectionDrifted
│   ├── PreviewBlocked
│   ├── ExtraMissing
│   ├── ExportExists
│   ├── ExportNotFound
│   ├── SchemaTaken
│   ├── SchemaDrift
│   ├── LimitReached
│   ├── TooManyRecords
│   ├── NotAuthorized
│   ├── ContextRequired
│   ├── ContextNotAllowed
│   ├── ContextDiffers
│   ├── RoleUnusable
│   ├── InHostTransaction
│   └── LedgerClosed
└── StoreError
    ├── StoreNotMigrated
    ├── StoreTooNew
    ├── MigrationAltered
    ├── EmbeddedUnavailable
    ├── StoreUnavailable
    ├── WorkerFailed
    ├── UnknownTopic
    ├── ProjectionBlocked
    ├── EffectAbandoned
    ├── ExportFailed
    ├── CommandTimedOut
    └── DatabaseRefused

The docstring of a class is the text of its message: ``{table}`` stands for the attribute of that name.
Attributes are given by keyword. The hint says what to do and ends the message.
A value that the caller wrote may appear in a message, cut short; data read from records never does.
"""

from .error_chain import (
    ChainClosed,
    ChainNotFound,
    InvalidChain,
    InvalidHook,
    StepNotCompensable,
    UnknownHook,
)
from .error_confirmation import (
    ConfirmationInvalid,
    ConfirmationRequired,
    PreviewBlocked,
    SelectionDrifted,
)
from .error_context import (
    ContextDiffers,
    ContextNotAllowed,
    ContextRequired,
    InvalidContext,
    RoleUnusable,
)
from .error_export import (
    ExportExists,
    ExportFailed,
    ExportNotFound,
    ExportPathRefused,
    ExportTooLarge,
    UnfitValue,
)
from .error_invalid import (
    ActorMissing,
    ColumnNotWritable,
    CommandTooLarge,
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
from .error_locks import LockNotHeld, RecordsLocked
from .error_policy import LimitReached, NotAuthorized, TooManyRecords
from .error_refused import (
    AlreadyRetried,
    AlreadyUndone,
    ColumnsNotUndoable,
    CommandReused,
    ExecutionEnded,
    ExecutionNotEnded,
    ExecutionNotFound,
    ExtraMissing,
    InHostTransaction,
    LedgerClosed,
    NothingToUndo,
    NotReversible,
    PermissionDenied,
    RebuildRunning,
    SchemaDrift,
    SchemaTaken,
    UndoConflicts,
    UndoExpired,
    UndoInProgress,
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
    StoreError,
    StoreNotMigrated,
    StoreTooNew,
    StoreUnavailable,
    UnknownTopic,
    WorkerFailed,
)
from .error_usage import (
    AmbiguousId,
    AppNotFound,
    InvalidApp,
    InvalidCondition,
    InvalidSetting,
    InvalidUsage,
    UnreadableInput,
)

__all__ = [
    "ActionLedgerError",
    "ActorMissing",
    "AlreadyRetried",
    "AlreadyUndone",
    "AmbiguousId",
    "AppNotFound",
    "ChainClosed",
    "ChainNotFound",
    "ColumnNotWritable",
    "ColumnsNotUndoable",
    "CommandReused",
    "CommandTimedOut",
    "CommandTooLarge",
    "ConfirmationInvalid",
    "ConfirmationRequired",
    "ContextDiffers",
    "ContextNotAllowed",
    "ContextRequired",
    "DatabaseRefused",
    "EffectAbandoned",
    "EmbeddedUnavailable",
    "ExecutionEnded",
    "ExecutionNotEnded",
    "ExecutionNotFound",
    "ExportExists",
    "ExportFailed",
    "ExportNotFound",
    "ExportPathRefused",
    "ExportTooLarge",
    "ExtraMissing",
    "InHostTransaction",
    "InvalidAction",
    "InvalidApp",
    "InvalidChain",
    "InvalidCommand",
    "InvalidCondition",
    "InvalidContext",
    "InvalidCron",
    "InvalidExpression",
    "InvalidHook",
    "InvalidParameters",
    "InvalidSchedule",
    "InvalidSetting",
    "InvalidUsage",
    "InvalidValue",
    "IrreversibleCascade",
    "LedgerClosed",
    "LimitReached",
    "LockNotHeld",
    "MigrationAltered",
    "NoPrimaryKey",
    "NotAuthorized",
    "NotReversible",
    "NothingToUndo",
    "PermissionDenied",
    "PreviewBlocked",
    "ProjectionBlocked",
    "RebuildRunning",
    "RecordsLocked",
    "Refused",
    "RoleUnusable",
    "ScheduleClosed",
    "ScheduleNotFound",
    "SchemaDrift",
    "SchemaTaken",
    "SelectionDrifted",
    "SelectionMissing",
    "SelectionTwice",
    "StepNotCompensable",
    "StoreError",
    "StoreNotMigrated",
    "StoreTooNew",
    "StoreUnavailable",
    "TimeInPast",
    "TimeTooFar",
    "TooManyRecords",
    "UndoConflicts",
    "UndoExpired",
    "UndoInProgress",
    "UnfitValue",
    "UnknownAction",
    "UnknownColumn",
    "UnknownHook",
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
