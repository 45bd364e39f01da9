"""The ledger: the one place where everything is wired, and the command API.

``open_ledger`` gives a :class:`Ledger`; ``ledger.on(table)`` begins a chain that ends in a command; every
command goes through ``ledger.handle``.
"""

import os
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from psycopg import Connection, OperationalError
from psycopg.rows import DictRow
from pydantic import SecretStr, ValidationError

from action_ledger.domain.actions import BUILT_IN, Actions
from action_ledger.domain.commands import AnyCommand, RequestExecution
from action_ledger.domain.errors import InvalidSetting, LedgerClosed, UnknownTable, shown
from action_ledger.domain.resource import Resource
from action_ledger.domain.selection import KeyValue
from action_ledger.projections.audit import Audit
from action_ledger.projections.progress import Progress
from action_ledger.projections.recorder import Datastore
from action_ledger.projections.register import Projections
from action_ledger.projections.store import Store
from action_ledger.projections.work_queue import WorkQueue
from action_ledger.workers.loop import Worker

from .builder import Target, check_workers
from .database import Database
from .embedded import embedded_url
from .handles import ExecutionHandle
from .history import HistoryEntry, read_history
from .intake import Intake
from .migrations import migrate, require_current
from .settings import Settings
from .views import AuditEntry, ExecutionView, id_of, read_audit, read_executions

IDLE_SECONDS = 0.2
"""How long an idle worker waits before it looks again."""
FOLLOW_SECONDS = 1.0
"""How far the views that follow may fall behind a worker that is never idle."""


class Ledger:
    """One ledger over one database. Thread-safe; close it, or use it in a ``with`` statement."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """Wire it over an open pool; ``open_ledger`` is the usual way."""
        self.settings = settings
        self.actions = Actions(BUILT_IN)
        self._database = database
        self._closed = False
        self.store = Store(
            Datastore(self._lend, settings.db_schema),
            inline=(WorkQueue(), Progress()),
            followed=(Audit(),),
            search_path=settings.search_path,
            lock_timeout_ms=settings.append_lock_timeout_ms,
        )
        self.projections = Projections(self.store)
        self._intake = Intake(
            self.store, self.actions, worker=worker_name(), lease_seconds=settings.lease_seconds
        )

    def on(self, table: str | Resource) -> Target:
        """Begin a command on a table, named as ``schema.table`` or described by a Resource."""
        if isinstance(table, Resource):
            return Target(self, table)
        try:
            return Target(self, Resource(table=table))
        except ValidationError as error:  # no text at all, or none that PostgreSQL can hold
            raise UnknownTable(table=shown(table)) from error

    def handle(
        self, command: AnyCommand, *, now: bool = False, keys: Iterable[KeyValue] | None = None
    ) -> UUID:
        """Take a command in, and give the id of the execution or the undo that it became.

        With ``now`` the execution is planned at once, and applied at once when it fits one batch. ``keys``
        travel beside a command whose selection is ``Keys(keys=None)``. A command that is sent twice, with one
        ``command_id``, is taken in once.
        """
        self._intake.accept(command, now=now, keys=keys)
        return command.command_id

    def run(
        self,
        command: RequestExecution,
        *,
        keys: Iterable[KeyValue] | None = None,
        workers: int = 1,
        watch: Callable[[ExecutionHandle], None] | None = None,
    ) -> ExecutionHandle:
        """Take an execution in and work on it, in this process, until it has ended."""
        check_workers(workers)
        unfinished = self._intake.accept(command, now=True, keys=keys)
        execution = ExecutionHandle(self, command.command_id)
        if unfinished:
            execution.finish(workers=workers, watch=watch)
        return execution

    def worker(self, *, queues: Iterable[str] | None = None) -> Worker:
        """Make a worker on this ledger; None takes up any queue."""
        return Worker(
            self.store,
            self.actions,
            name=worker_name(),
            queues=None if queues is None else list(queues),
            lease_seconds=self.settings.lease_seconds,
        )

    def execution(self, execution_id: UUID | str) -> ExecutionHandle:
        """Give the handle of an execution, which is looked for when the handle is asked something.

        Raises ExecutionNotFound for what is no id.
        """
        return ExecutionHandle(self, id_of(execution_id))

    def executions(
        self,
        *,
        status: str | None = None,
        actor: str | None = None,
        table: str | None = None,
        limit: int = 20,
    ) -> list[ExecutionView]:
        """List executions, the newest first."""
        return read_executions(self.store, status=status, actor=actor, table=table, limit=limit)

    def audit(
        self,
        *,
        execution_id: UUID | str | None = None,
        actor: str | None = None,
        after: int | None = 0,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Read the audit trail from after a position, as new as this call: the follower catches up first.

        With ``after=None`` it is the newest events, in their order all the same.
        """
        self.projections.catch_up()
        wanted = None if execution_id is None else id_of(execution_id)
        return read_audit(self.store, execution_id=wanted, actor=actor, after=after, limit=limit)

    def history(self, table: str, key: object) -> list[HistoryEntry]:
        """Read every change that was made to one record; ``key`` is a tuple where it has several columns."""
        return read_history(self.store, table, key)

    def catch_up(self) -> int:
        """Bring the views that follow up to the head; give the number of events taken in."""
        return self.projections.catch_up()

    def work(self, stop: Callable[[], bool], *, queues: Iterable[str] | None = None) -> None:
        """Take up whatever is open, and follow the log, until ``stop`` says so. Leaves between two units.

        Raises:
            StoreUnavailable: The database stays out of reach.
        """
        worker = self.worker(queues=queues)
        followed = time.monotonic()
        while not stop():
            busy = worker.step()
            if not busy or time.monotonic() - followed > FOLLOW_SECONDS:
                with suppress(OperationalError):  # where it lasts, the next step says so
                    self.projections.catch_up()
                followed = time.monotonic()
            if not busy:
                time.sleep(IDLE_SECONDS)

    def close(self) -> None:
        """Close the connections; what is asked afterwards raises LedgerClosed.

        The embedded server stays up for others, and stops with the last process that uses it.
        """
        self._closed = True
        self._database.close()

    def _lend(self) -> AbstractContextManager[Connection[DictRow]]:
        if self._closed:
            raise LedgerClosed
        return self._database.connection()

    def __enter__(self) -> Self:
        """Use it as a context."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def open_ledger(url: str | None = None, *, settings: Settings | None = None) -> Ledger:
    """Open the ledger of a database; without a URL, that of the settings, or else the embedded server's.

    The embedded server's schema is migrated here. On a server of yours that is ``action-ledger migrate``.

    Raises:
        StoreNotMigrated: The schema is missing or older than this release.
        EmbeddedUnavailable: There is no URL, and the embedded server is not installed.
        StoreUnavailable: The server cannot be reached, or refuses the login.
        InvalidSetting: The URL is empty.
    """
    settings = settings or Settings()
    if url is not None:
        settings = settings.model_copy(update={"database_url": SecretStr(url)})
    database = open_database(settings)
    with ExitStack() as undone:
        undone.callback(database.close)
        with database.connection() as connection:
            if settings.database_url is None:
                migrate(connection, settings.db_schema)
            require_current(connection, settings.db_schema)
        undone.pop_all()
    return Ledger(database, settings)


def open_database(settings: Settings) -> Database:
    """Open the pool that the settings ask for. Raises StoreUnavailable at once when the server refuses."""
    url = settings.database_url
    if url is not None and not url.get_secret_value().strip():
        raise InvalidSetting(setting="ACTION_LEDGER_DATABASE_URL", detail="it is empty")
    return Database(
        url.get_secret_value() if url else embedded_url(Path(settings.data_dir)),
        min_size=settings.pool_min_size,
        max_size=settings.pool_max_size,
        timeout=settings.pool_timeout_seconds,
        prepare_threshold=settings.prepare_threshold,
    ).open()


def worker_name() -> str:
    """Name this process, for people who look for it."""
    return f"{socket.gethostname()}:{os.getpid()}"
