"""What the handles of executions and undos have in common: to watch, to wait for, and to work on until the end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from psycopg import OperationalError

from action_ledger.domain.errors import CommandTimedOut, ExecutionNotFound
from action_ledger.projections.sql_blocks import read_blocks

from .checks import check_workers
from .crew import finish_together
from .inbox import ACCEPTED
from .progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from action_ledger.projections.projection import Recorded

    from .ledger import Ledger

SQL = read_blocks("action_ledger.ops", "reads.sql")
POLL_SECONDS = 0.05


class Handle:
    """What executions and undos have in common: a row of the progress view that comes to an end."""

    block: str
    ended: frozenset[str]

    def __init__(self, ledger: Ledger, id_: UUID) -> None:
        """Look nothing up yet."""
        self.ledger = ledger
        self.id = id_

    def __repr__(self) -> str:
        """Name what it is of; nothing is looked up for it."""
        return f"{type(self).__name__}({str(self.id)!r})"

    def row(self) -> dict[str, Any]:
        """Read its row of the progress view; once more where the connection is lost. Raises ExecutionNotFound."""
        try:
            return self._read()
        except OperationalError:
            return self._read()

    def _read(self) -> dict[str, Any]:
        # Between the two looks it may have been taken in: then it is in the view by now.
        row = self._in_view() or self.ledger.inbox.row(self.id) or self._in_view()
        if row is None:
            raise ExecutionNotFound(execution_id=self.id)
        return dict(row)

    def _in_view(self) -> dict[str, Any] | None:
        with self.ledger.store.transaction() as transaction:
            return transaction.execute(SQL[self.block], {"id": self.id}).fetchone()

    @property
    def status(self) -> str:
        """Where it stands."""
        return str(self.row()["status"])

    @property
    def error(self) -> str | None:
        """Why it failed: a stable code of the error tree, or an SQLSTATE; None while it has not."""
        code: str | None = self.row()["error"]
        return code

    @property
    def rejection(self) -> str | None:
        """Why it was rejected, in words; None for what was not, and for all that was not sent in a host's transaction."""
        return self.row().get("detail")

    def progress(self) -> Progress:
        """Read how far it has come, in one consistent look."""
        return Progress.of(self.row())

    def wait(self, *, timeout: float | None = None) -> None:
        """Wait until it has ended, whoever works on it. Raises CommandTimedOut after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.status not in self.ended:
            if deadline is not None and not time.monotonic() <= deadline:
                raise CommandTimedOut(seconds=timeout or 0, detail=f"{self.id} is {self.status}")
            time.sleep(POLL_SECONDS)

    async def wait_async(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as wait has it
        """Wait without holding the event loop up."""
        await asyncio.to_thread(self.wait, timeout=timeout)

    def finish(self, *, workers: int = 1, watch: Callable[[Any], None] | None = None) -> None:
        """Work on it in this process, with so many workers in threads, until it has ended."""
        check_workers(workers)
        while self.status == ACCEPTED:
            if not self.ledger.inbox.take_in():
                time.sleep(POLL_SECONDS)  # it is in other hands
        if workers == 1 or self.row()["status"] in self.ended:
            self._finish(watch)
            return
        finish_together(self._finish, workers=workers, watch=watch)

    def events(self) -> list[Recorded]:
        """Read its own stream."""
        store = self.ledger.store
        with store.transaction() as transaction:
            return store.read_stream(transaction.cursor, self.id)

    def _finish(self, watch: Callable[[Any], None] | None) -> None:
        self.ledger.worker().finish(self.id, watch=None if watch is None else lambda: watch(self))
