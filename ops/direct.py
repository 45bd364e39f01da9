"""A connection of one thread's own, straight to the server: kept as long as it lives, and opened again when not."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import Connection
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.rows import DictRow

from action_ledger.domain.errors import StoreUnavailable

from .database import check, is_direct

CANCEL_SECONDS = 2.0
SILENCE = "SELECT set_config('idle_in_transaction_session_timeout', %s, false)"


class Direct:
    """Lends its one connection, as a pool would, to one thread at a time.

    A unit with an effect has several: one renews the lease while others read records and keep answers.

    ``silence`` is after how many seconds the server ends a transaction of a session that says nothing.
    """

    def __init__(self, connect: Callable[[], Connection[DictRow]], *, silence: float) -> None:
        """Open nothing yet."""
        self._connect = connect
        self._silence = silence
        self._connection: Connection[DictRow] | None = None
        self._cut = False
        self._lock = threading.RLock()

    @contextmanager
    def connection(self) -> Generator[Connection[DictRow]]:
        """Lend it, opened again if the server has ended it, or takes no writes any more.

        Raises:
            StoreUnavailable: The server cannot be reached.
        """
        with self._lock:
            try:
                yield self.get()
            except ReadOnlySqlTransaction:
                self.close()  # the next may lead to the server that has taken its place
                raise

    def get(self) -> Connection[DictRow]:
        """Give the connection, as ``connection`` lends it. Raises StoreUnavailable."""
        if self._cut:
            raise StoreUnavailable(reason="this worker was ended")
        kept = self._connection
        if kept is not None and not kept.closed:
            with suppress(psycopg.OperationalError):
                check(kept)
                return kept
        self.close()
        self._connection = fresh = self._connect()
        if is_direct(fresh):  # behind a pooler it would be set on somebody else's session
            fresh.execute(SILENCE, [str(round(self._silence * 1000))])
        return fresh

    def cut(self) -> None:
        """Let nothing more be done here: what runs is ended by the server, and its transaction undone."""
        self._cut = True
        kept = self._connection
        if kept is not None and not kept.closed:
            with suppress(psycopg.Error):
                kept.cancel_safe(timeout=CANCEL_SECONDS)

    def close(self) -> None:
        """Close it; the next use opens another."""
        kept, self._connection = self._connection, None
        if kept is not None:
            kept.close()
