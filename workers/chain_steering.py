"""Steers a chain: pause, resume, cancel, and the undo of the whole. The step at work is steered with it, at once.

The chain's row of the queue is locked first, and waited for no longer than a while: whoever moves the chain at that
moment has it. The append lock comes next, so that the step at work cannot end in between.
"""

from typing import Any, assert_never
from uuid import UUID, uuid5

from action_ledger.domain.chain import (
    Cancelled,
    ChainStatus,
    Compensating,
    Paused,
    Resumed,
)
from action_ledger.domain.chain_commands import (
    AnyChainSteering,
    CancelChain,
    PauseChain,
    ResumeChain,
    UndoChain,
)
from action_ledger.domain.commands import (
    AnySteering,
    CancelExecution,
    PauseExecution,
    ResumeExecution,
)
from action_ledger.domain.errors import ChainClosed, ChainNotFound
from action_ledger.domain.event import Event
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .actors import metadata_of
from .bodies import save_body
from .close import current_execution
from .context import require_same
from .open_chain import ChainBody, ChainStory, OpenChain
from .patience import wait_at_most
from .steer import SteeringBody, steer
from .steps import reached

SQL = read_blocks("action_ledger.workers", "chains.sql")

WAIT_MS = 5_000
"""How long a steering command waits for the chain's row before it rolls back and tries again."""


class ChainSteering:
    """One command, on its way into the ledger."""

    def __init__(self, transaction: Transaction, command: AnyChainSteering) -> None:
        self._transaction = transaction
        self._command = command

    def accept(self) -> None:
        """Record it, in the caller's transaction. Raises ChainNotFound and ChainClosed."""
        command, transaction = self._command, self._transaction
        chain = self._hold()
        reached("chain_steering.held")
        save_body(
            transaction,
            command.command_id,
            SteeringBody(reason=command.reason, fingerprint=command.fingerprint),
        )
        metadata = metadata_of(transaction, command).model_copy(
            update={"correlation_id": chain.correlation_id}
        )
        transaction.lock()
        story = ChainStory(chain, metadata)
        match command:
            case PauseChain():
                self._check(chain, story, Paused)
                self._steer_step(chain, PauseExecution)
                story.tell(Paused)
            case ResumeChain():
                self._check(chain, story, Resumed)
                self._steer_step(chain, ResumeExecution)
                story.tell(Resumed)
            case CancelChain():
                self._check(chain, story, Cancelled)
                self._cancel(chain, story)
            case UndoChain():
                self._check(chain, story, Compensating)
                theirs = ChainBody.read(transaction, chain.id).context
                require_same(command.context, theirs, subject=chain.id)
                story.tell(Compensating, step=chain.step, error=None)
            case _:
                assert_never(command)
        reached("chain_steering.before_append")
        transaction.append(*story.events)
        reached("chain_steering.before_commit")

    def _hold(self) -> OpenChain:
        """Take its row; of a chain that has ended, which has none, what the view says, under the append lock."""
        transaction, id_ = self._transaction, {"chain_id": self._command.chain_id}
        wait_at_most(transaction, WAIT_MS)
        row = transaction.execute(SQL["hold_to_steer"], id_).fetchone()
        if row is not None:
            if isinstance(self._command, UndoChain):
                raise self._closed(row["status"])
            return OpenChain.of(row)
        transaction.lock()
        found = transaction.execute(SQL["chain"], id_).fetchone()
        if found is None:
            raise ChainNotFound(chain_id=self._command.chain_id)
        actor = self._command.actor.subject
        return OpenChain.of({**found, "awaits": None, "actor": actor, "attempts": 0})

    def _check(self, chain: OpenChain, story: ChainStory, kind: type[Event]) -> None:
        if not story.allows(kind):
            raise self._closed(chain.status)

    def _closed(self, status: ChainStatus | str) -> ChainClosed:
        wanted = self._command.type.replace("_", " ")
        return ChainClosed(chain_id=self._command.chain_id, status=str(status), wanted=wanted)

    def _cancel(self, chain: OpenChain, story: ChainStory) -> None:
        """End it, and say how the step at work ended; one that is being rolled back goes on by itself."""
        if chain.awaits is not None:
            self._steer_step(chain, CancelExecution)
            current = current_execution(self._transaction, chain.awaits)
            if current is not None and current.status is not None and current.status.ended:
                story.tell_end_of_step(self._transaction, chain.step, chain.awaits)
        story.tell(Cancelled)

    def _steer_step(self, chain: OpenChain, kind: type[AnySteering]) -> None:
        """Do the same to the execution of the step at work, if it is open."""
        current = None
        if chain.awaits is not None:
            current = current_execution(self._transaction, chain.awaits)
        if current is None or current.closed:
            return
        command = self._command
        fields: dict[str, Any] = {"actor": command.actor, "reason": command.reason}
        steer(
            self._transaction,
            kind(command_id=_steered_id(command.command_id), execution_id=current.id, **fields),
        )


def _steered_id(command_id: UUID) -> UUID:
    """Name the command to the step's execution."""
    return uuid5(command_id, "step")
