"""Commands: what somebody asks the ledger to do. Frozen, validated, JSON in and out."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from .actor import Actor
from .context import Context
from .failure import OnFailure
from .hooks import Notify
from .pace import MAX_BATCH_SIZE, Adaptive
from .record_lock import OnLocked
from .resource import Resource
from .rule import Rule
from .schedule import CatchUp, extra_id
from .selection import KeyValue, Selection
from .text import Name, Text
from .undo import ConflictPolicy

DAY = 86_400
MAX_UNDO_SECONDS = 90 * DAY


class Command(BaseModel):
    """What all commands share. ``command_id`` makes a repeated send harmless: it becomes the stream's id.

    ``once`` is a key of the caller's own that does the same: what is sent under it again has the id that it had at
    first, and must be the same command.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command_id: UUID
    actor: Actor
    reason: Text | None = None
    correlation_id: UUID | None = None
    once: Name | None = None

    @property
    def subject(self) -> UUID:
        """The id of what it becomes, or of what it acts on."""
        return self.command_id

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that the command says, to tell it from another under the same id.

        What is as by default is left out, so that an option of a later release does not make it another; and so is
        what confirms it, since whoever sends it again may have looked again, and from where it is sent.
        """
        sent = self.model_copy(update={"actor": self.actor.identity})
        said = sent.model_dump(mode="json", exclude={"confirmation"})
        for name, field in type(self).model_fields.items():
            default = field.get_default(call_default_factory=True)
            if name != "type" and getattr(self, name) == default:
                said.pop(name, None)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


Priority = Annotated[int, Field(ge=-100, le=100)]
"""The highest goes first."""
Rate = Annotated[float, Field(ge=0.001, le=1_000_000_000, allow_inf_nan=False)]
"""Records a second."""
Concurrency = Annotated[int, Field(ge=1, le=1_000)]
"""Batches at work at a time."""


class WorkCommand(Command):
    """A command that workers take up, from the queue of its name."""

    queue: Name = "default"
    priority: Priority = 0
    notify: Notify | None = None
    """The hooks that are to be told of what becomes of it."""


class RequestExecution(WorkCommand):
    """Run one action over one selection.

    ``undo_seconds`` is the undo window, counted from the execution's end; None makes it irreversible.
    ``frozen`` changes a planned record even if it no longer matches. ``on_failure`` is done when more than
    ``max_failures`` records have failed, or more than ``max_failure_ratio`` of all; with neither, at the first.
    """

    type: Literal["request_execution"] = "request_execution"
    resource: Resource
    action: str
    parameters: dict[str, Any]
    selection: Selection
    batch_size: int = Field(default=10_000, ge=1, le=MAX_BATCH_SIZE)
    planning: Literal["gated", "streaming"] = "gated"
    frozen: bool = False
    undo_seconds: int | None = Field(default=7 * DAY, ge=1, le=MAX_UNDO_SECONDS)
    on_failure: OnFailure = OnFailure.CONTINUE
    max_failures: int | None = Field(default=None, ge=0)
    max_failure_ratio: float | None = Field(default=None, ge=0, le=1)
    rate: Rate | None = None
    concurrency: Concurrency | None = None
    adaptive: Adaptive | None = None
    """None leaves it to the ledger's settings, which only make smaller what takes far too long."""
    retry_of: UUID | None = None
    context: Context | None = None
    """Whose rights it has, where the table has row-level security."""
    on_locked: OnLocked | None = None
    """What is done about records that others have locked; None is fail, and skip of a streaming plan."""
    confirmation: Annotated[Text, Field(max_length=100)] | None = None
    """The token of a preview of the same, by the same actor: then the plan must be the previewed one. Good once."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        limited = self.max_failures is not None or self.max_failure_ratio is not None
        if self.on_failure is OnFailure.CONTINUE and limited:
            message = "max_failures and max_failure_ratio want on_failure stop or rollback"
            raise ValueError(message)
        if self.on_failure is OnFailure.ROLLBACK and self.undo_seconds is None:
            message = "on_failure rollback takes back what was done, and an irreversible execution cannot be"
            raise ValueError(message)
        if self.confirmation is not None and self.on_locked is OnLocked.WAIT:
            message = "a plan that waits for locks is made anew, so it cannot be the one that was confirmed"
            raise ValueError(message)
        if self.selection.kind == "unfinished" and self.planning != "gated":
            message = "what another execution did not get done is planned at once: gated"
            raise ValueError(message)
        if self.planning == "streaming" and self.on_locked not in {None, OnLocked.SKIP}:
            message = "a streaming plan locks page by page, and leaves what others hold: on_locked fail and wait want a gated one"
            raise ValueError(message)
        if self.max_failure_ratio is not None and self.planning != "gated":
            message = "max_failure_ratio is a share of the total, which a streaming plan knows at its end only"
            raise ValueError(message)
        return self


def _without_contact(command: RequestExecution) -> RequestExecution:
    return command.model_copy(update={"actor": command.actor.identity})


KeptExecution = Annotated[RequestExecution, AfterValidator(_without_contact)]
"""An execution for later: it is kept, so it does not say from where its actor asked."""


class RequestUndo(WorkCommand):
    """Take an execution back, or, with ``of_undo``, take an undo of it back (a redo).

    ``batches`` (numbers, from 1), ``keys`` and ``columns`` narrow it down; None means all. ``context`` must be the
    execution's.
    """

    type: Literal["request_undo"] = "request_undo"
    execution_id: UUID
    of_undo: UUID | None = None
    policy: ConflictPolicy = ConflictPolicy.SKIP
    batches: tuple[int, ...] | None = None
    keys: tuple[KeyValue, ...] | None = None
    columns: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    context: Context | None = None


class SteerExecution(Command):
    """The base of what is asked of an execution that is under way."""

    execution_id: UUID


class PauseExecution(SteerExecution):
    """Take nothing of it up until it is resumed. Batches at work come to their end."""

    type: Literal["pause_execution"] = "pause_execution"


class ResumeExecution(SteerExecution):
    """Let a paused execution go on."""

    type: Literal["resume_execution"] = "resume_execution"


class CancelExecution(SteerExecution):
    """Stop it for good. Batches at work are given up; what is done stays, and can be undone."""

    type: Literal["cancel_execution"] = "cancel_execution"


class RetuneExecution(SteerExecution):
    """Set its pace or its place in the queue anew. None leaves it as it is, ``unlimited`` lifts the limit."""

    type: Literal["retune_execution"] = "retune_execution"
    rate: Rate | Literal["unlimited"] | None = None
    concurrency: Concurrency | Literal["unlimited"] | None = None
    priority: Priority | None = None


class BreakLock(SteerExecution):
    """Take the records away from an execution that holds them: no batch of it writes after this, and it has failed."""

    type: Literal["break_lock"] = "break_lock"


AnySteering = PauseExecution | ResumeExecution | CancelExecution | RetuneExecution | BreakLock


class CreateSchedule(Command):
    """Run an execution when its time comes: once, or again and again.

    Each occurrence runs ``execution`` under an id of its own. ``keep`` says whether its selection is evaluated at
    each occurrence, or frozen: cut now, once for all. Keys are always frozen. Queue and priority are those of
    ``execution``.
    """

    type: Literal["create_schedule"] = "create_schedule"
    rule: Rule
    catch_up: CatchUp = CatchUp.LAST
    keep: Literal["evaluated", "frozen"] = "evaluated"
    execution: KeptExecution

    @model_validator(mode="after")
    def _one_actor(self) -> Self:
        if self.execution.actor != self.actor.identity:
            message = "who schedules an execution is who asks for it: the actors must be the same"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _no_retry(self) -> Self:
        if self.execution.selection.kind == "unfinished":
            message = "a retry is not scheduled: what it is of is there now, and is tried once"
            raise ValueError(message)
        return self


class ScheduleCommand(Command):
    """What the commands that steer a schedule share."""

    schedule_id: UUID

    @property
    @override
    def subject(self) -> UUID:
        return self.schedule_id


class PauseSchedule(ScheduleCommand):
    """Let nothing of it run until it is resumed."""

    type: Literal["pause_schedule"] = "pause_schedule"


class ResumeSchedule(ScheduleCommand):
    """Let it go on."""

    type: Literal["resume_schedule"] = "resume_schedule"


class Reschedule(ScheduleCommand):
    """Give it another rule; the next occurrence is the first of that, from now on."""

    type: Literal["reschedule"] = "reschedule"
    rule: Rule


class CancelSchedule(ScheduleCommand):
    """End it. What it has set going already goes on."""

    type: Literal["cancel_schedule"] = "cancel_schedule"


class RunScheduleNow(ScheduleCommand):
    """Run it once more, out of turn; its next occurrence stays as it is."""

    type: Literal["run_schedule_now"] = "run_schedule_now"

    @property
    @override
    def subject(self) -> UUID:
        """The execution that it becomes."""
        return extra_id(self.schedule_id, self.command_id)


AnyScheduleSteering = PauseSchedule | ResumeSchedule | Reschedule | CancelSchedule | RunScheduleNow
