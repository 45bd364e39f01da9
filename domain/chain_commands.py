"""The commands of chains: ask for one, steer it, and take it back as a whole."""

from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from .chain import OnStepFailure
from .commands import Command, KeptExecution
from .context import Context
from .hooks import Notify

MOST_STEPS = 100


class ChainStep(BaseModel):
    """An execution, and what becomes of the chain when it fails."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    execution: KeptExecution
    on_failure: OnStepFailure = OnStepFailure.COMPENSATE


class RequestChain(Command):
    """Run executions one after the other. Each is requested and planned when those before it have ended.

    The executions run under ids that are made of the chain's. A step that cannot be undone, with a later one whose
    failure would be compensated, is refused unless ``allow_irreversible``; then a compensation passes it over.
    """

    type: Literal["request_chain"] = "request_chain"
    steps: tuple[ChainStep, ...] = Field(min_length=1, max_length=MOST_STEPS)
    allow_irreversible: bool = False
    notify: Notify | None = None

    @model_validator(mode="after")
    def _one_whole(self) -> Self:
        if any(step.execution.actor != self.actor.identity for step in self.steps):
            message = "who asks for a chain asks for its steps: the actors must be the same"
            raise ValueError(message)
        if any(step.execution.once is not None for step in self.steps):
            message = "a step has no key of its own (once): the chain has one"
            raise ValueError(message)
        if any(step.execution.context != self.context for step in self.steps):
            message = "all steps of a chain have one context"
            raise ValueError(message)
        return self

    @property
    def context(self) -> Context | None:
        """Whose rights its steps have."""
        return self.steps[0].execution.context


class ChainCommand(Command):
    """What the commands about a chain that is there share."""

    chain_id: UUID

    @property
    @override
    def subject(self) -> UUID:
        return self.chain_id


class PauseChain(ChainCommand):
    """Start no further step, and pause the one at work, until it is resumed."""

    type: Literal["pause_chain"] = "pause_chain"


class ResumeChain(ChainCommand):
    """Let it go on."""

    type: Literal["resume_chain"] = "resume_chain"


class CancelChain(ChainCommand):
    """End it, and cancel the step at work. What is done stays, and can be undone."""

    type: Literal["cancel_chain"] = "cancel_chain"


class UndoChain(ChainCommand):
    """Take back what its steps did, the newest first. Records that somebody changed since are left alone."""

    type: Literal["undo_chain"] = "undo_chain"
    context: Context | None = None
    """Must be that of its steps."""


AnyChainSteering = PauseChain | ResumeChain | CancelChain | UndoChain
