"""The execution: one run of one action over one selection."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Digest, Event, Tally


class Requested(Event):
    """Somebody asked for it.

    Literals, parameters, reason and context lie apart (``request_bodies``); ``body_digest`` fixes them.
    ``undo_seconds`` is how long it can be undone after its end; None means that it never can.
    """

    TOPIC = "execution.requested"

    action: str
    table: str
    """Schema-qualified, as PostgreSQL would quote it."""
    selection: Literal["where", "keys", "everything"]
    body_digest: Digest
    batch_size: int = Field(ge=1)
    planning: Literal["gated", "streaming"]
    frozen: bool
    undo_seconds: int | None
    queue: str
    priority: int


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


class ExecutionStatus(StrEnum):
    """Where an execution stands."""

    REQUESTED = "requested"
    """Not planned yet, or planned in part when it streams; batches may already be at work."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """No further batch of it will be applied."""
        return self in {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED}


@dataclass(frozen=True, slots=True)
class Execution(Aggregate):
    """The stream of one execution."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Requested): ExecutionStatus.REQUESTED,
        (ExecutionStatus.REQUESTED, Planned): ExecutionStatus.RUNNING,
        (ExecutionStatus.REQUESTED, PlanningFailed): ExecutionStatus.RUNNING,
        (ExecutionStatus.RUNNING, Completed): ExecutionStatus.COMPLETED,
        (ExecutionStatus.RUNNING, Failed): ExecutionStatus.FAILED,
    }
