"""One open chain as its row of the queue has it, what it was asked to do, and the next events of its stream."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.chain import Chain, ChainStatus, StepEnded, step_failed
from action_ledger.domain.chain_commands import ChainStep
from action_ledger.domain.context import Context
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.failure import OnFailure
from action_ledger.projections import tracing
from action_ledger.projections.store import Transaction

from .bodies import read_body
from .claim import SQL as QUEUE
from .close import tally_of


class ChainBody(BaseModel):
    """What a chain's request said that events must not hold: the commands of its steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    """Of the command: when it is sent again, it must be the same."""
    reason: str | None
    steps: tuple[ChainStep, ...]

    @classmethod
    def read(cls, transaction: Transaction, chain_id: UUID) -> "ChainBody":
        """Read it back."""
        return cls.model_validate(read_body(transaction, chain_id))

    @property
    def context(self) -> Context | None:
        """The one that all steps have."""
        return self.steps[0].execution.context


class OpenChain(NamedTuple):
    """A chain whose row this transaction holds."""

    id: UUID
    version: int
    status: ChainStatus
    step: int
    awaits: UUID | None
    actor: str
    correlation_id: UUID
    attempt: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "OpenChain":
        """Read it from its row."""
        return cls(
            id=row["chain_id"],
            version=row["version"],
            status=ChainStatus(row["status"]),
            step=row["step"],
            awaits=row["awaits"],
            actor=row["actor"],
            correlation_id=row["correlation_id"],
            attempt=row["attempts"] + 1,
        )


class ChainStory:
    """The events that are to be appended to a chain's stream, one after the other."""

    def __init__(self, chain: OpenChain, metadata: Metadata | None = None) -> None:
        """Go on where the stream stands; without ``metadata`` the events carry who asked for the chain."""
        self._chain = Chain(chain.id, chain.version, chain.status)
        self._metadata = metadata or Metadata(
            actor=chain.actor,
            correlation_id=chain.correlation_id,
            causation_id=chain.id,
            traceparent=tracing.current_traceparent(),
        )
        self.events: list[Event] = []

    @property
    def version(self) -> int:
        """The number of events with those of the story."""
        return self._chain.version

    def allows(self, kind: type[Event]) -> bool:
        """Say whether an event of this kind may come next."""
        return self._chain.allows(kind)

    def tell(self, kind: type[Event], **fields: object) -> None:
        """Add an event."""
        event = self._chain.trigger(kind, self._metadata, **fields)
        self._chain = self._chain.mutate(event)
        self.events.append(event)

    def tell_end_of_step(self, transaction: Transaction, step: int, execution_id: UUID) -> bool:
        """Say how the execution of a step ended, once it has; and whether the step has failed thereby."""
        row = transaction.execute(QUEUE["execution"], {"execution_id": execution_id}).fetchone()
        if row is None or row["ended_at"] is None:
            message = f"execution {execution_id} of a chain has not ended"
            raise AssertionError(message)
        status, tally = ExecutionStatus(row["status"]), tally_of(row)
        failed = step_failed(status, tally, OnFailure(row["on_failure"]))
        self.tell(
            StepEnded,
            step=step,
            execution_id=execution_id,
            status=status,
            error=row["error"],
            failed=failed,
            tally=tally,
        )
        return failed
