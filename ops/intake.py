"""Takes commands in, each exactly once, and answers for the faults that it meets on the way."""

import random
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, repeat
from typing import Any, Protocol, TypeVar

import psycopg
from psycopg.errors import InsufficientPrivilege
from uuid_utils.compat import uuid7

from action_ledger.domain.actions import Actions
from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.chain_commands import (
    CancelChain,
    ChainCommand,
    RequestChain,
)
from action_ledger.domain.commands import (
    BreakLock,
    CancelExecution,
    Command,
    CreateSchedule,
    RequestExecution,
    RequestUndo,
    SteerExecution,
)
from action_ledger.domain.confirmation import NO_CONFIRMATION, ConfirmationPolicy
from action_ledger.domain.erasure import EraseActor
from action_ledger.domain.errors import (
    ActionLedgerError,
    CommandReused,
    ContextDiffers,
    StoreUnavailable,
)
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.policy import EVERYTHING_GOES, Policy
from action_ledger.domain.selection import KeyValue
from action_ledger.projections import tracing
from action_ledger.projections.store import Store, Transaction
from action_ledger.workers.chain_request import ChainRequest
from action_ledger.workers.chain_steering import ChainSteering
from action_ledger.workers.claim import is_known
from action_ledger.workers.erasure import ActorErasure
from action_ledger.workers.faults import Scope, message_of, scope_of
from action_ledger.workers.patience import wait_at_most
from action_ledger.workers.request import ExecutionRequest
from action_ledger.workers.request_body import is_same_request
from action_ledger.workers.schedule_request import ScheduleRequest
from action_ledger.workers.schedule_steering import ScheduleSteering
from action_ledger.workers.steer import steer
from action_ledger.workers.sweep import sweep
from action_ledger.workers.undo_request import UndoRequest

from .once import under_key
from .rights import record_refusal, require_right
from .translation import translated

C = TypeVar("C", bound=Command)

TRIES = 6
FIRST_PAUSE = 0.05
"""Seconds before the second try at most; twice as long before each further one."""
KEY_WAIT_MS = 5_000
"""How long each try waits for a host's transaction that has given the same key to a command and is open still."""
_NEVER = "the last try returns or raises"


class WayIn(Protocol):
    """How commands get into the ledger: in transactions of its own, or in one of the host's."""

    def accept(
        self, command: AnyCommand, *, now: bool, keys: Iterable[KeyValue] | None = None
    ) -> bool:
        """Take a command in; say whether anything of it is still to be done."""
        ...

    def named(self, command: C) -> C:
        """Give the command the id that its key has had before."""
        ...


class Intake:
    """The way in for every command."""

    def __init__(
        self,
        store: Store,
        actions: Actions,
        *,
        worker: str,
        lease_seconds: float = 10,
        sizes: Adaptive,
        max_days_ahead: int = 365,
        policy: Policy = EVERYTHING_GOES,
        confirmation: ConfirmationPolicy = NO_CONFIRMATION,
    ) -> None:
        """``worker`` is the name under which batches are recorded that are applied on the way in.

        ``sizes`` are those of batches where the command asks for none.
        """
        self._sizes = sizes
        self.confirmation = confirmation
        """Which executions have to be confirmed."""
        self.at_once = True
        """Whether what fits one batch is applied on the way in; not where something may hold it back."""
        self._store = store
        self._actions = actions
        self._worker = worker
        self._silence = lease_seconds / 2
        self._max_days_ahead = max_days_ahead
        self._policy = policy

    def accept(
        self, command: AnyCommand, *, now: bool, keys: Iterable[KeyValue] | None = None
    ) -> bool:
        """Record a command; say whether anything of it is still to be done.

        A command that is in the ledger already is left as it is. Raises CommandReused when another one is
        there under its id, and what is wrong with the command itself.
        """
        require_right(self._store, self._policy, command)
        once = keys is not None and iter(keys) is keys
        # What meets a fault at once is left to a worker, which can split it.
        at_once = chain([self.at_once], repeat(False))  # noqa: FBT003 - values to be given out
        try:
            with sending(command):
                unfinished = self._try(
                    command,
                    lambda: self._taken(command, now=now, keys=keys, at_once=next(at_once)),
                    once=once,
                )
        except ContextDiffers as refused:
            record_refusal(self._store, command, refused)
            raise
        match command:
            case CancelExecution() | BreakLock():
                sweep(self._store, command.execution_id)
            case CancelChain():
                sweep(self._store)
            case _:
                pass
        return unfinished

    def named(self, command: C) -> C:
        """Give the command the id that its key has had before; the first one gives its own to the key.

        Raises StoreUnavailable, CommandTimedOut where a host's open transaction has the key, and what else the database
        says.
        """
        if command.once is None:
            return command
        started = time.monotonic()
        for tried in range(1, TRIES + 1):
            try:
                with self._store.transaction(silence=self._silence) as transaction:
                    wait_at_most(transaction, KEY_WAIT_MS)
                    return under_key(transaction.cursor, self._store.schema, command)
            except psycopg.Error as error:
                if scope_of(error) is not Scope.PASSING or tried == TRIES:
                    raise translated(error, seconds=time.monotonic() - started) from error
            _pause(tried)
        raise AssertionError(_NEVER)

    def take(
        self,
        transaction: Transaction,
        command: AnyCommand,
        *,
        now: bool = False,
        keys: Iterable[KeyValue] | None = None,
        at_once: bool = False,
    ) -> bool:
        """Make a command into events, in a transaction; say whether anything of it is still to be done."""
        match command:
            case RequestExecution():
                request = ExecutionRequest(
                    transaction,
                    self._actions,
                    command,
                    self._worker,
                    sizes=self._sizes,
                    policy=self._policy,
                    confirmation=self.confirmation,
                )
                return request.accept(now=now, streamed=keys, at_once=at_once)
            case RequestUndo():
                UndoRequest(transaction, command, uuid7).accept()
            case CreateSchedule():
                schedule = ScheduleRequest(
                    transaction, self._actions, command, self._max_days_ahead
                )
                schedule.accept(streamed=keys)
            case EraseActor():
                ActorErasure(transaction, command).accept()
                return False
            case SteerExecution():
                steer(transaction, command)
                return False
            case RequestChain():
                ChainRequest(transaction, self._actions, command).accept()
            case ChainCommand():
                ChainSteering(transaction, command).accept()
            case _:
                ScheduleSteering(
                    transaction,
                    self._actions,
                    command,
                    worker=self._worker,
                    max_days=self._max_days_ahead,
                    policy=self._policy,
                ).accept()
        return True

    def take_left(self, transaction: Transaction, command: AnyCommand) -> None:
        """Take a command in that a host left: what the actor may do is asked again, by whoever takes it in."""
        self._policy.require_context(command)
        self._policy.require(command)
        self.take(transaction, command)

    def _taken(self, command: AnyCommand, **how: Any) -> bool:  # noqa: ANN401 - as take has them
        with self._store.transaction(silence=self._silence) as transaction:
            return self.take(transaction, command, **how)

    def _try(self, command: AnyCommand, accept: Callable[[], bool], *, once: bool) -> bool:
        """Try again what passes by itself; after a lost answer to COMMIT, look instead of guessing.

        ``once`` says that the keys of the command cannot be given a second time.
        """
        started = time.monotonic()
        for tried in range(1, TRIES + 1):
            try:
                return accept()
            except psycopg.Error as error:
                if self._is_in(command):
                    return True
                passing = scope_of(error) is Scope.PASSING
                if not passing or once or tried == TRIES:
                    raise translated(error, seconds=time.monotonic() - started) from error
            except StoreUnavailable:
                raise  # there was no connection to ask on
            except ActionLedgerError:
                if self._is_in(command):
                    return (
                        True  # it was taken in before: what has changed since is no concern of it
                    )
                raise
            _pause(tried)
        raise AssertionError(_NEVER)

    def _is_in(self, command: AnyCommand) -> bool:
        """Say whether the command is in the ledger, however often it takes to hear the answer.

        Raises:
            CommandReused: Another command is there under its id.
            StoreUnavailable: The question could not be asked. Sent again, the command is taken in once.
        """
        for tried in range(1, TRIES + 1):
            try:
                with self._store.transaction(silence=self._silence) as transaction:
                    known = is_known(transaction, command.command_id)
                    if known and not is_same_request(transaction, command):
                        raise CommandReused(command_id=command.command_id)
                    return known
            except psycopg.Error as error:
                if isinstance(error, InsufficientPrivilege):
                    raise translated(error) from error
                if tried == TRIES or scope_of(error) is not Scope.PASSING:
                    raise StoreUnavailable(
                        reason=f"whether command {command.command_id} was taken in is not known"
                        f" ({message_of(error)}); it is safe to send it again"
                    ) from error
            _pause(tried)
        raise AssertionError(_NEVER)


def sending(command: AnyCommand) -> AbstractContextManager[object]:
    """Cover the sending of a command, as a part of the caller's own trace; executions have a span for it."""
    if not isinstance(command, RequestExecution):
        return nullcontext()
    return tracing.send(
        command.action,
        queue=command.queue,
        execution_id=command.command_id,
        correlation_id=command.correlation_id or command.command_id,
    )


def _pause(tried: int) -> None:
    time.sleep(random.uniform(0, FIRST_PAUSE * 2**tried))  # noqa: S311 - no secret
