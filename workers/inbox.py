"""The inbox: takes in the commands that hosts left there in transactions of their own, each exactly once.

The claim, what the command becomes and the row's end are one transaction: killed anywhere in it, nothing of it is
there and the next worker does it. What is wrong with a command is found here, after its host has gone on, so it is
kept with the row and told to whoever asks for the command's handle.
"""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from psycopg import Error
from pydantic import TypeAdapter
from uuid_utils.compat import uuid7

from action_ledger.domain.actions import Actions
from action_ledger.domain.actor import Actor
from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.command import Rejected, Rejection, subject_of
from action_ledger.domain.errors import (
    ActionLedgerError,
    CommandReused,
    StoreUnavailable,
    UnknownAction,
)
from action_ledger.domain.event import Metadata
from action_ledger.projections import tracing
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store, Transaction

from .actors import said_of
from .claim import is_known
from .faults import UNEXPECTED, code_of, message_of, passes, tries_of
from .keeping import ASIDE, LONGEST_DELAY, TABLE_WAIT_MS, delay, let_pass
from .patience import wait_at_most
from .request_body import is_same_request
from .steps import reached

SQL = read_blocks("action_ledger.workers", "inbox.sql")
COMMAND: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)

TakeIn = Callable[[Transaction, AnyCommand], object]
"""Makes a command into events, in a transaction that is given."""

log = logging.getLogger(__name__)


class Inbox:
    """Takes commands out of the inbox, for one worker; any number of them may do so."""

    def __init__(self, store: Store, actions: Actions, take: TakeIn, *, silence: float) -> None:
        """``silence`` is after how many seconds without a word the server ends a transaction."""
        self._store = store
        self._actions = [action.name for action in actions]
        self._take = take
        self._silence = silence

    def step(self) -> bool:
        """Deal with the oldest command that nobody is at, if there is one. A fault is answered for, not raised.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        row: dict[str, Any] | None = None
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                found = transaction.execute(SQL["claim"], {"actions": self._actions})
                row = found.fetchone()
                if row is not None:
                    reached("inbox.claimed")
                    wait_at_most(transaction, TABLE_WAIT_MS)
                    self._take_in(transaction, row)
                    reached("inbox.before_commit")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one bad command must not end the worker
            self._answer_for(row, error)
        return row is not None

    def forget_rejected(self, *, seconds: float) -> None:
        """Delete the commands that were rejected so long ago; that they were is in the audit."""
        with self._store.transaction(silence=self._silence) as transaction:
            transaction.execute(SQL["forget_rejected"], {"seconds": seconds})

    def _take_in(self, transaction: Transaction, row: dict[str, Any]) -> None:
        # Out of the inbox first: after the append lock nothing is done that could be done before.
        transaction.execute(SQL["take_out"], {"command_id": row["command_id"]})
        command = COMMAND.validate_python(row["command"])
        if not is_known(transaction, command.command_id):
            with tracing.continuing(row["traceparent"]):
                self._take(transaction, command)
        elif not is_same_request(transaction, command):
            raise CommandReused(command_id=command.command_id)

    def _answer_for(self, row: dict[str, Any] | None, error: Exception) -> None:
        """Try later when the fault passes by itself; otherwise reject the command, so that its host can know."""
        if row is None:
            let_pass(error)
            return
        command_id, code = row["command_id"], code_of(error)
        if code == UNEXPECTED:
            log.error("command %s met an unexpected fault", command_id, exc_info=error)
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                if not _hold(transaction, command_id):
                    return  # somebody else is at it, or the COMMIT did get through
                if isinstance(error, Error) and row["attempt"] < tries_of(error):
                    _postpone(transaction, command_id, code, delay(row["attempt"]))
                    return
                if isinstance(error, UnknownAction):
                    # A schedule's, or a step's: another worker may know it, as with units.
                    _postpone(transaction, command_id, code, LONGEST_DELAY)
                    return
                said = {"command_id": command_id, "error": code, "detail": _in_words(error)}
                transaction.execute(SQL["reject"], said)
                reached("inbox.rejected")
                record_rejection(transaction, row["command"], error=code)
        except StoreUnavailable:
            raise
        except Exception as second:  # noqa: BLE001 - as in step
            self._put_aside(command_id, second)

    def _put_aside(self, command_id: UUID, error: Exception) -> None:
        """Leave a command for later that can be neither taken in nor rejected, so that the others go on."""
        if passes(error):
            return  # it is as it was, and is taken up again
        log.error("command %s can be neither taken in nor rejected", command_id, exc_info=error)
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                if _hold(transaction, command_id):
                    _postpone(transaction, command_id, code_of(error), ASIDE)
        except Error as third:
            let_pass(third)


def record_rejection(transaction: Transaction, command: dict[str, Any], *, error: str) -> None:
    """Append that a command, given as JSON values, was turned away. Takes the append lock."""
    command_id = UUID(command["command_id"])
    metadata = Metadata(
        correlation_id=command.get("correlation_id") or command_id,
        causation_id=command_id,
        **said_of(transaction, Actor.model_validate(command["actor"])),
    )
    transaction.append(
        Rejection.new(uuid7()).trigger(
            Rejected,
            metadata,
            command=command["type"],
            subject=subject_of(command),
            error=error,
        )
    )


def _in_words(error: Exception) -> str:
    if isinstance(error, ActionLedgerError):
        return error.message
    return message_of(error) if isinstance(error, Error) else type(error).__name__


def _hold(transaction: Transaction, command_id: UUID) -> bool:
    return transaction.execute(SQL["hold"], {"command_id": command_id}).fetchone() is not None


def _postpone(transaction: Transaction, command_id: UUID, error: str, delay: float) -> None:
    values = {"command_id": command_id, "error": error, "delay": delay}
    transaction.execute(SQL["postpone"], values)
