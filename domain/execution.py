"""The execution: one run of one action over one selection."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID, uuid5

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Digest, Event, Tally
from .failure import OnFailure
from .hooks import Notify


class Requested(Event):
    """Somebody asked for it.

    Literals, parameters, reason and context lie apart (``request_bodies``); ``body_digest`` fixes them.
    ``undo_seconds`` is how long it can be undone after its end; None means that it never can.
    """

    TOPIC = "execution.requested"
    VERSION = 2
    """The second brought the policy for failures, the pace, and the execution that is retried."""

    action: str
    table: str
    """Schema-qualified, as PostgreSQL would quote it."""
    selection: Literal["where", "keys", "everything", "unfinished"]
    body_digest: Digest
    batch_size: int = Field(ge=1)
    planning: Literal["gated", "streaming"]
    frozen: bool
    undo_seconds: int | None
    queue: str
    priority: int
    on_failure: OnFailure
    max_failures: int | None = Field(ge=0)
    """So many records may fail before ``on_failure`` is done; None leaves it to the ratio, or else means none."""
    max_failure_ratio: float | None = Field(ge=0, le=1)
    """The share of all records that may fail."""
    rate: float | None = Field(gt=0)
    """Records a second, at most, by all workers together."""
    concurrency: int | None = Field(ge=1)
    """Batches at work at a time, at most."""
    retry_of: UUID | None
    """The execution whose failed records are tried again."""
    notify: Notify | None = None
    preview_id: UUID | None = None
    """The preview that confirmed it."""
    after_complete: bool = False
    """Whether its action has a hook of its own that is told of the completion."""


class Planned(Event):
    """Planning ended: the total is final.

    ``plan_digest`` is over the digests of the batches' key sets, in their order.
    """

    TOPIC = "execution.planned"

    batches: int = Field(ge=0)
    records: int = Field(ge=0)
    plan_digest: Digest


class PlanningFailed(Event):
    """Planning stopped for good. Batches that were planned before it still come to their end; then it has failed.

    ``error`` is a stable code of the error tree, or an SQLSTATE.
    """

    TOPIC = "execution.planning_failed"

    error: str
    batches: int = Field(ge=0)
    records: int = Field(ge=0)
    owners: tuple[str, ...] = ()
    """Ids of those who have its records, where that is the error; those with most come first."""


class Paused(Event):
    """Nothing of it is taken up until it is resumed; batches at work come to their end."""

    TOPIC = "execution.paused"


class Resumed(Event):
    """It goes on."""

    TOPIC = "execution.resumed"


class Retuned(Event):
    """Its pace or its place in the queue was set anew: all three, as they are from now on."""

    TOPIC = "execution.retuned"

    rate: float | None = Field(gt=0)
    concurrency: int | None = Field(ge=1)
    priority: int


class Cancelled(Event):
    """Somebody stopped it for good. No batch is completed after this; what is done stays, and can be undone."""

    TOPIC = "execution.cancelled"

    tally: Tally


class PlanningCancelled(Event):
    """The planning of an execution that was stopped before it was planned to its end is off the queue."""

    TOPIC = "execution.planning_cancelled"


class Completed(Event):
    """Every batch has come to its end. ``tally.failed`` says whether records stayed behind."""

    TOPIC = "execution.completed"

    tally: Tally


class Failed(Event):
    """It stopped for a reason that concerns all of its records.

    ``error`` is a stable code of the error tree, or an SQLSTATE; what is done stays done, and can be undone.
    """

    TOPIC = "execution.failed"

    error: str
    tally: Tally


class RollbackStarted(Event):
    """Too many records failed, and what was done is being taken back by an undo of its own."""

    TOPIC = "execution.rollback_started"

    error: str
    tally: Tally
    """What had been done by then; no batch is completed after this."""


class RolledBack(Event):
    """What was done was taken back. ``undo_id`` is None when nothing had been done."""

    TOPIC = "execution.rolled_back"

    undo_id: UUID | None


class ExecutionStatus(StrEnum):
    """Where an execution stands."""

    REQUESTED = "requested"
    """Not planned yet, or planned in part when it streams; batches may already be at work."""
    RUNNING = "running"
    """Planned, or resumed."""
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ROLLED_BACK = "rolled_back"

    @property
    def ended(self) -> bool:
        """It is over: nothing of it will be applied, nor taken back by itself."""
        return self in {
            ExecutionStatus.COMPLETED,
            ExecutionStatus.FAILED,
            ExecutionStatus.CANCELLED,
            ExecutionStatus.ROLLED_BACK,
        }

    @property
    def closed(self) -> bool:
        """No further batch of it will be applied."""
        return self.ended or self is ExecutionStatus.ROLLING_BACK


_NAMESPACE = UUID("b0a6a9a4-95a3-5d0f-9d8e-0a4c51f2c7de")


def rollback_id(execution_id: UUID) -> UUID:
    """Name the undo by which an execution is rolled back: so there is never more than one."""
    return uuid5(_NAMESPACE, str(execution_id))


@dataclass(frozen=True, slots=True)
class Execution(Aggregate):
    """The stream of one execution."""

    status: ExecutionStatus | None

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Requested): ExecutionStatus.REQUESTED,
        (ExecutionStatus.REQUESTED, Planned): ExecutionStatus.RUNNING,
        (ExecutionStatus.REQUESTED, PlanningFailed): ExecutionStatus.RUNNING,
        # Paused before it was planned, and resumed. A plan at work when the pause comes is given up.
        (ExecutionStatus.RUNNING, Planned): ExecutionStatus.RUNNING,
        (ExecutionStatus.RUNNING, PlanningFailed): ExecutionStatus.RUNNING,
        (ExecutionStatus.REQUESTED, Paused): ExecutionStatus.PAUSED,
        (ExecutionStatus.RUNNING, Paused): ExecutionStatus.PAUSED,
        (ExecutionStatus.PAUSED, Resumed): ExecutionStatus.RUNNING,
        (ExecutionStatus.RUNNING, Completed): ExecutionStatus.COMPLETED,
        # The last batch was at work when the pause came.
        (ExecutionStatus.PAUSED, Completed): ExecutionStatus.COMPLETED,
        (ExecutionStatus.ROLLING_BACK, RolledBack): ExecutionStatus.ROLLED_BACK,
        (ExecutionStatus.ROLLING_BACK, Failed): ExecutionStatus.FAILED,
        **{
            (state, event): end
            for state in (
                ExecutionStatus.REQUESTED,
                ExecutionStatus.RUNNING,
                ExecutionStatus.PAUSED,
            )
            for event, end in (
                (Retuned, state),
                (Cancelled, ExecutionStatus.CANCELLED),
                (Failed, ExecutionStatus.FAILED),
                (RollbackStarted, ExecutionStatus.ROLLING_BACK),
            )
        },
        # Whoever was planning when it was closed takes the planning off the queue afterwards.
        **{
            (state, PlanningCancelled): state
            for state in ExecutionStatus
            if state.closed and state is not ExecutionStatus.COMPLETED
        },
    }

    @property
    def closed(self) -> bool:
        """No further batch of it will be applied."""
        return self.status is not None and self.status.closed

    @property
    def ended(self) -> bool:
        """It is over."""
        return self.status is not None and self.status.ended
