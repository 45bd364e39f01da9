"""The chain: executions in sequence, each asked for when those before it have ended, and taken back if one fails."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from .aggregate import Aggregate, Transitions
from .event import Digest, Event, Tally
from .execution import ExecutionStatus
from .failure import OnFailure
from .hooks import Notify


class OnStepFailure(StrEnum):
    """What becomes of a chain when one of its steps fails."""

    COMPENSATE = "compensate"
    """What was done by it and by the steps before it is taken back, the newest first."""
    STOP = "stop"
    """The chain ends; what was done stays."""
    CONTINUE = "continue"
    """The next step comes all the same."""


class PlannedStep(BaseModel):
    """What a chain's request tells of a step. Its execution is named by :func:`step_id`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    table: str
    """Schema-qualified, as PostgreSQL would quote it."""
    on_failure: OnStepFailure


class ChainEvent(Event):
    """An event of a chain's stream; its other fields are named as in events of executions and undos."""


class StepEvent(ChainEvent):
    """An event that is about one step. Steps are counted from 1."""

    step: int = Field(ge=1)


class Requested(ChainEvent):
    """Somebody asked for it. The commands of its steps lie apart (``request_bodies``); ``body_digest`` fixes them."""

    TOPIC = "chain.requested"

    steps: tuple[PlannedStep, ...]
    body_digest: Digest
    notify: Notify | None = None


class StepStarted(StepEvent):
    """A step's turn has come: its execution was requested."""

    TOPIC = "chain.step_started"

    execution_id: UUID


class StepRefused(StepEvent):
    """A step's turn had come, and its execution could not be requested. It counts as a failure of the step.

    ``error`` is a stable code of the error tree, or an SQLSTATE.
    """

    TOPIC = "chain.step_refused"

    error: str


class StepEnded(StepEvent):
    """A step's execution has ended. ``failed`` is what that means for the chain, see :func:`step_failed`."""

    TOPIC = "chain.step_ended"

    execution_id: UUID
    status: str
    error: str | None
    failed: bool
    tally: Tally


class Paused(ChainEvent):
    """No further step comes, and the one at work is paused, until it is resumed."""

    TOPIC = "chain.paused"


class Resumed(ChainEvent):
    """It goes on."""

    TOPIC = "chain.resumed"


class Cancelled(ChainEvent):
    """Somebody ended it. What is done stays, and can be undone."""

    TOPIC = "chain.cancelled"


class Compensating(StepEvent):
    """What was done is taken back from ``step`` down to the first. ``error`` says why; None if somebody asked for it."""

    TOPIC = "chain.compensating"

    error: str | None


class StepCompensating(StepEvent):
    """The undo of a step's execution was requested."""

    TOPIC = "chain.step_compensating"

    execution_id: UUID
    undo_id: UUID


class StepCompensated(StepEvent):
    """A step has been dealt with: its undo has ended, or there was nothing to undo, and ``undo_id`` is None.

    Records in ``tally.skipped`` and ``tally.failed`` did not come back. ``error`` says why nothing of the step could.
    """

    TOPIC = "chain.step_compensated"

    undo_id: UUID | None
    tally: Tally
    error: str | None


class Completed(ChainEvent):
    """All steps have ended. Those that failed were passed over, as their policy has it."""

    TOPIC = "chain.completed"


class Failed(ChainEvent):
    """A step failed and stopped it, or what was done could not be taken back any further.

    ``error`` is a stable code of the error tree, or an SQLSTATE. What is still done can be undone.
    """

    TOPIC = "chain.failed"

    error: str


class Compensated(ChainEvent):
    """Everything that was done was taken back, but for the records that the steps' tallies count."""

    TOPIC = "chain.compensated"


class ChainStatus(StrEnum):
    """Where a chain stands."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    COMPENSATED = "compensated"

    @property
    def ended(self) -> bool:
        """Nothing of it will happen by itself any more."""
        return self not in {ChainStatus.RUNNING, ChainStatus.PAUSED, ChainStatus.COMPENSATING}


def step_id(chain_id: UUID, step: int) -> UUID:
    """Name the execution of a step: the same whoever asks for it, so that it cannot be there twice."""
    return uuid5(chain_id, f"step {step}")


def step_undo_id(chain_id: UUID, step: int, version: int) -> UUID:
    """Name the undo of a step, as it is asked for when the chain's stream is at a version."""
    return uuid5(chain_id, f"undo {step} at {version}")


def step_failed(status: ExecutionStatus, tally: Tally, on_failure: OnFailure) -> bool:
    """Say whether an execution that ended so has failed as a step.

    It has when it did not complete, and when records of it failed. Only an execution that says itself how many may
    fail (``on_failure`` stop or rollback, with a limit) completes with some that did, and has not failed.
    """
    if status is not ExecutionStatus.COMPLETED:
        return True
    return bool(tally.failed) and on_failure is OnFailure.CONTINUE


@dataclass(frozen=True, slots=True)
class Chain(Aggregate):
    """The stream of one chain."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Requested): ChainStatus.RUNNING,
        (ChainStatus.RUNNING, StepStarted): ChainStatus.RUNNING,
        (ChainStatus.RUNNING, StepRefused): ChainStatus.RUNNING,
        (ChainStatus.RUNNING, StepEnded): ChainStatus.RUNNING,
        # A cancel ends the step at work with it.
        (ChainStatus.PAUSED, StepEnded): ChainStatus.PAUSED,
        (ChainStatus.RUNNING, Paused): ChainStatus.PAUSED,
        (ChainStatus.PAUSED, Resumed): ChainStatus.RUNNING,
        (ChainStatus.RUNNING, Cancelled): ChainStatus.CANCELLED,
        (ChainStatus.PAUSED, Cancelled): ChainStatus.CANCELLED,
        (ChainStatus.RUNNING, Completed): ChainStatus.COMPLETED,
        (ChainStatus.RUNNING, Failed): ChainStatus.FAILED,
        (ChainStatus.RUNNING, Compensating): ChainStatus.COMPENSATING,
        (ChainStatus.COMPENSATING, StepCompensating): ChainStatus.COMPENSATING,
        (ChainStatus.COMPENSATING, StepCompensated): ChainStatus.COMPENSATING,
        (ChainStatus.COMPENSATING, Failed): ChainStatus.FAILED,
        (ChainStatus.COMPENSATING, Compensated): ChainStatus.COMPENSATED,
        # Somebody undoes the whole of it; after a first try that failed, once more.
        (ChainStatus.COMPLETED, Compensating): ChainStatus.COMPENSATING,
        (ChainStatus.FAILED, Compensating): ChainStatus.COMPENSATING,
        (ChainStatus.CANCELLED, Compensating): ChainStatus.COMPENSATING,
    }
