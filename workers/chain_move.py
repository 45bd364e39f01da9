"""One move of a chain: from the end of one thing to the next that is begun, an execution or an undo."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from psycopg import Error
from uuid_utils.compat import uuid7

from action_ledger.domain.actions import Actions
from action_ledger.domain.actor import Actor
from action_ledger.domain.chain import (
    ChainStatus,
    Compensated,
    Compensating,
    Completed,
    Failed,
    OnStepFailure,
    StepCompensated,
    StepCompensating,
    StepRefused,
    StepStarted,
    step_id,
    step_undo_id,
)
from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import (
    ActionLedgerError,
    AlreadyUndone,
    ExecutionNotEnded,
    ExecutionNotFound,
    LimitReached,
    NothingToUndo,
    NotReversible,
    UndoInProgress,
    UnknownAction,
)
from action_ledger.domain.event import Tally
from action_ledger.domain.policy import Policy
from action_ledger.domain.undo import UndoStatus
from action_ledger.projections import tracing
from action_ledger.projections.store import Transaction

from .claim import SQL as QUEUE
from .close import tally_of
from .faults import code_of, tries_of
from .open_chain import ChainBody, ChainStory, OpenChain
from .request import ExecutionRequest
from .undo_request import UndoRequest

STEP_FAILED = "step_failed"
"""Why a chain failed whose step came to an end that has no error of its own: a cancel, or records that failed."""
LATER = (UnknownAction, UndoInProgress, ExecutionNotEnded, LimitReached)
"""What is so for now: another worker knows the action, another's undo is at work, a rollback has not ended, the actor
is at a limit."""


class Move:
    """One move of a chain, in a transaction that holds its row: from the end of one thing to the next that is begun."""

    def __init__(
        self,
        transaction: Transaction,
        actions: Actions,
        chain: OpenChain,
        worker: str,
        policy: Policy,
    ) -> None:
        self._transaction = transaction
        self._actions = actions
        self._chain = chain
        self._worker = worker
        self._policy = policy
        self._body = ChainBody.read(transaction, chain.id)
        self._story = ChainStory(chain)

    def make(self) -> ChainStory:
        """Ask for what comes next; give the events that say so, to be appended by the caller.

        Raises what may pass by itself; what is wrong with a step for good becomes an event.
        """
        chain = self._chain
        if chain.status is ChainStatus.COMPENSATING:
            if chain.awaits is None:
                self._compensate(chain.step)
            else:
                self._after_undo(chain.awaits)
        elif chain.awaits is None:
            self._start(chain.step + 1)
        elif self._story.tell_end_of_step(self._transaction, chain.step, chain.awaits):
            error = self._row("execution", chain.awaits)["error"]
            self._after_failure(chain.step, error or STEP_FAILED)
        else:
            self._start(chain.step + 1)
        return self._story

    def _start(self, step: int) -> None:
        """Ask for the execution of a step; where there is none any more, that is the end."""
        if step > len(self._body.steps):
            self._story.tell(Completed)
            return
        execution_id = step_id(self._chain.id, step)
        error = self._tried(partial(self._request, step, execution_id))
        if error is None:
            self._story.tell(StepStarted, step=step, execution_id=execution_id)
        else:
            self._story.tell(StepRefused, step=step, error=code_of(error))
            self._after_failure(step, code_of(error))

    def _request(self, step: int, execution_id: UUID) -> None:
        correlation_id = self._chain.correlation_id
        command = self._body.steps[step - 1].execution.model_copy(
            update={"command_id": execution_id, "correlation_id": correlation_id}
        )
        self._policy.require(command)
        with tracing.send(
            command.action,
            queue=command.queue,
            execution_id=execution_id,
            correlation_id=correlation_id,
        ):
            ExecutionRequest(
                self._transaction,
                self._actions,
                command,
                self._worker,
                causation_id=self._chain.id,
                policy=self._policy,
            ).accept(now=False)

    def _after_failure(self, step: int, error: str) -> None:
        match self._body.steps[step - 1].on_failure:
            case OnStepFailure.CONTINUE:
                self._start(step + 1)
            case OnStepFailure.STOP:
                self._story.tell(Failed, error=error)
            case OnStepFailure.COMPENSATE:
                self._story.tell(Compensating, step=step, error=error)
                self._compensate(step)

    def _compensate(self, step: int) -> None:
        """Ask for the undo of the newest step that did something, from this one down; with none, that is the end."""
        for number in range(step, 0, -1):
            execution_id = step_id(self._chain.id, number)
            undo_id = step_undo_id(self._chain.id, number, self._story.version)
            error = self._tried(partial(self._undo, execution_id, undo_id))
            match error:
                case None:
                    self._story.tell(
                        StepCompensating, step=number, execution_id=execution_id, undo_id=undo_id
                    )
                    return
                case ExecutionNotFound() | NothingToUndo() | AlreadyUndone():
                    self._passed_over(number, Tally(), None)
                case NotReversible():
                    stays = self._row("execution", execution_id)["applied"]
                    self._passed_over(number, Tally(skipped=stays), error.code)
                case _:
                    self._story.tell(Failed, error=code_of(error))
                    return
        self._story.tell(Compensated)

    def _undo(self, execution_id: UUID, undo_id: UUID) -> None:
        row = self._row("execution", execution_id)
        command = RequestUndo(
            command_id=undo_id,
            actor=Actor(subject=self._chain.actor),
            execution_id=execution_id,
            queue=row["queue"],
            priority=row["priority"],
            context=self._body.context,
        )
        UndoRequest(self._transaction, command, uuid7).accept()

    def _passed_over(self, step: int, tally: Tally, error: str | None) -> None:
        self._story.tell(StepCompensated, step=step, undo_id=None, tally=tally, error=error)

    def _after_undo(self, undo_id: UUID) -> None:
        """Go on to the step before; not over one that could not be taken back, since it stands on what was before."""
        step = self._chain.step
        row = self._row("undo", undo_id)
        if UndoStatus(row["status"]) is not UndoStatus.COMPLETED:
            self._story.tell(Failed, error=row["error"])
            return
        tally = tally_of(row)
        self._story.tell(StepCompensated, step=step, undo_id=undo_id, tally=tally, error=None)
        self._compensate(step - 1)

    def _row(self, kind: str, id_: UUID) -> dict[str, Any]:
        """Read an execution or an undo as the progress view has it. Raises ExecutionNotFound."""
        row = self._transaction.execute(QUEUE[kind], {f"{kind}_id": id_}).fetchone()
        if row is None:
            raise ExecutionNotFound(execution_id=id_)
        return row

    def _tried(self, ask: Callable[[], object]) -> Exception | None:
        """Ask for something, all or nothing; give what is wrong with it for good. Raises what may pass."""
        try:
            with self._transaction.savepoint():
                ask()
        except LATER:
            raise
        except ActionLedgerError as error:
            return error
        except Error as error:
            if self._chain.attempt < tries_of(error):
                raise
            return error
        return None
