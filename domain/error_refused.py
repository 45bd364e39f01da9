"""Errors of a command that is well formed, and that the ledger's state does not allow now. See ``errors``."""

# as in errors.py

from datetime import datetime
from uuid import UUID

from typing_extensions import override

from .error_root import Refused


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
    Refused,
    code="execution_not_ended",
    hint="Wait for its end with `action-ledger watch`, or stop it for good with `action-ledger cancel`.",
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


class AlreadyUndone(Refused, code="already_undone"):
    """{what} {execution_id} was already taken back."""

    execution_id: UUID | str
    of_undo: UUID | str | None = None

    @property
    def what(self) -> str:
        """What was to be taken back: an execution, or an undo of it."""
        return f"Undo {self.of_undo} of execution" if self.of_undo else "Execution"

    @property
    @override
    def advice(self) -> str:
        """Name the way in the other direction."""
        word = "undo" if self.of_undo else "redo"
        return f"The way back is `action-ledger {word} {self.execution_id}`."


class AlreadyRetried(Refused, code="already_retried"):
    """What is left of execution {execution_id} was tried again already, by {retry_id}."""

    execution_id: UUID | str
    retry_id: UUID | str

    @property
    @override
    def advice(self) -> str:
        """Name what holds for what is left now."""
        return (
            f"What that one left is tried again by `action-ledger retry {self.retry_id}`; what it skipped, since others "
            "had it, is to be named by its keys. To do all of it anew, take that one back first, by "
            f"`action-ledger undo {self.retry_id}`."
        )


class UndoInProgress(
    Refused,
    code="undo_in_progress",
    hint="Wait for it with `action-ledger watch`, or bring it to its end with `action-ledger worker --until-idle` "
    "where nobody is at work on it; then look at what is left.",
):
    """An undo of execution {execution_id} is at work on it and has not ended."""

    execution_id: UUID | str


class NothingToUndo(Refused, code="nothing_to_undo"):
    """There is nothing to take back of execution {execution_id}: {reason}."""

    execution_id: UUID | str
    reason: str


class NotReversible(Refused, code="not_reversible"):
    """Execution {execution_id} cannot be undone: {reason}."""

    execution_id: UUID | str
    reason: str


class ColumnsNotUndoable(
    Refused,
    code="columns_not_undoable",
    hint="Undo it as a whole, or narrow it down by keys or by batches.",
):
    """Execution {execution_id} cannot be undone in {columns} alone: {reason}."""

    execution_id: UUID | str
    columns: str
    reason: str


class UndoConflicts(
    Refused,
    code="undo_conflicts",
    hint=(
        "Undo with on_conflict skip, which leaves them and lists them, merge, which brings back what nobody changed,"
        " or force, which overwrites them."
    ),
):
    """Since execution {execution_id} {said} changed again."""

    execution_id: UUID | str
    conflicts: int
    """So many records, rows of other tables that went along among them."""
    sample: tuple[str, ...] = ()
    """Keys of the first, those of other tables after their table's name, which no message shows."""

    @property
    def said(self) -> str:
        """Say how many they are."""
        return "1 record was" if self.conflicts == 1 else f"{self.conflicts:,} records were"


class RebuildRunning(Refused, code="rebuild_running", hint="Wait for it, then look at its status."):
    """Projection {projection} is being rebuilt by somebody else."""

    projection: str


class PermissionDenied(Refused, code="permission_denied"):
    """The database does not let this login do that{place}: {detail}."""

    detail: str
    table: str | None = None
    needed: str | None = None
    """What would give it the right, where that is known."""

    @property
    def place(self) -> str:
        """On which table, as far as that is known."""
        return f" to {self.table}" if self.table else ""

    @property
    @override
    def advice(self) -> str:
        """Name the rights that are missing."""
        return (
            f"It needs {self.needed}, or use another login."
            if self.needed
            else "Grant it the rights that the guide to operations lists, or use another login."
        )


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


class SchemaDrift(
    Refused,
    code="schema_drift",
    hint="Bring the table's columns back, or repair the records with an action of their own.",
):
    """Table {table} is no longer as it was when the records were changed: {detail}."""

    table: str
    detail: str


class InHostTransaction(
    Refused,
    code="in_host_transaction",
    hint="Use the ledger itself for what is to be done at once.",
):
    """That cannot be done in a transaction of the host's: {instead}."""

    instead: str


class LedgerClosed(
    Refused, code="ledger_closed", hint="Open it again with open_ledger(), and close it last."
):
    """The ledger was closed, and cannot be used any more."""
