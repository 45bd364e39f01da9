"""The inbox as people see it: commands that wait to be taken in, and those that were rejected."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from action_ledger.domain.actions import Actions
from action_ledger.domain.errors import InHostTransaction
from action_ledger.projections.store import Store
from action_ledger.workers.inbox import Inbox, TakeIn

from .once import SQL
from .views import check_bounds

ACCEPTED, REJECTED = "accepted", "rejected"
"""Where a command stands that is in the inbox: it waits to be taken in, or was turned away for good."""


class InboxEntry(BaseModel):
    """A command in the inbox. ``error`` is the code of the fault that it met, ``detail`` why it was rejected."""

    model_config = ConfigDict(frozen=True)

    command_id: UUID
    command: str
    """Its type, such as ``request_execution``."""
    action: str | None
    table: str | None
    subject: UUID
    """The execution or the schedule that it begins, or acts on."""
    actor: str
    status: str
    error: str | None
    detail: str | None
    attempts: int
    accepted_at: datetime
    rejected_at: datetime | None


class CommandInbox:
    """What hosts sent in their own transactions, and what is not, or never, in the ledger; ``ledger.inbox``."""

    def __init__(self, store: Store, actions: Actions, take: TakeIn, *, silence: float) -> None:
        """``silence`` is after how many seconds without a word the server ends a transaction."""
        self._store = store
        self._actions = actions
        self._take = take
        self._silence = silence

    def entries(self, *, rejected: bool = False, limit: int = 20) -> list[InboxEntry]:
        """List commands that wait to be taken in, and those that were rejected, or only these; the newest first."""
        check_bounds(limit=limit)
        values = {"rejected": rejected, "limit": limit}
        with self._store.transaction() as transaction:
            rows = transaction.execute(SQL["inbox"], values).fetchall()
        return [InboxEntry(**row) for row in rows]

    def row(self, command_id: UUID) -> Mapping[str, Any] | None:
        """Give a command in the form of a row of the progress view, or None."""
        with self._store.transaction() as transaction:
            return transaction.execute(SQL["waiting"], {"id": str(command_id)}).fetchone()

    def take_in(self) -> int:
        """Take in, in this process, whatever nobody is at; workers do it by themselves.

        Gives the number of commands, those among them that were rejected.
        """
        inbox = self.over(self._store)
        taken = 0
        while inbox.step():
            taken += 1
        return taken

    def over(self, store: Store) -> Inbox:
        """Make what takes commands in over a store's connections."""
        return Inbox(store, self._actions, self._take, silence=self._silence)


class SeenWithin(CommandInbox):
    """The same with the eyes of a host's transaction, which sees what it sent itself before anybody else does."""

    def __init__(self, inbox: CommandInbox, connection: Connection[Any]) -> None:
        """Look through the host's connection while its transaction is open."""
        vars(self).update(vars(inbox))
        self._connection = connection

    @override
    def row(self, command_id: UUID) -> Mapping[str, Any] | None:
        if self._connection.info.transaction_status is not TransactionStatus.INTRANS:
            return super().row(command_id)
        statement = SQL["waiting"].format(schema=sql.Identifier(self._store.schema))
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, {"id": str(command_id)}).fetchone()

    @override
    def take_in(self) -> int:
        """Raise InHostTransaction while that is open: nobody else sees what it sent."""
        if self._connection.info.transaction_status is not TransactionStatus.IDLE:
            raise InHostTransaction(instead="commit first")
        return super().take_in()
