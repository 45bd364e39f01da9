"""Connections to PostgreSQL: a pool for commands, and single direct connections for workers and followers.

All of them are in autocommit mode with dictionaries as rows: a transaction is always an explicit
`with connection.transaction()`, and it is READ COMMITTED whatever the database's default is.
"""

import os
import select
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

import psycopg
from psycopg import Connection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from action_ledger.domain.errors import StoreUnavailable

Pool = ConnectionPool[Connection[DictRow]]

# Given to libpq unless the URL says otherwise. A host that vanished is noticed after about 25 seconds.
CLIENT_DEFAULTS = {
    "application_name": "action-ledger",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}

# What the server does about a worker that vanished: it would hold its row locks for two hours otherwise.
WATCH_CLIENT = """
    SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
        set_config('tcp_keepalives_count', '3', false)
"""
CHECK_CLIENT = "SELECT set_config('client_connection_check_interval', '5s', false)"

KEEP_NAME = "SELECT set_config('action_ledger.others', current_setting('application_name'), false)"

# A statement of ours takes as long to plan as to run. The first runs are planned for their own values.
PREPARE_AFTER = 3


def with_defaults(url: str) -> str:
    """Complete a URL (or libpq's `key=value` form) by what this library wants where it says nothing.

    Raises:
        StoreUnavailable: It cannot be read. The text is not repeated, since it may hold a password.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.Error:
        reason = (
            "its URL cannot be read; it looks like postgresql://user:password@host:5432/database"
        )
        raise StoreUnavailable(reason=reason) from None
    wanted: dict[str, str] = dict(CLIENT_DEFAULTS)
    if "," in str(given.get("host", "")):
        wanted["target_session_attrs"] = "read-write"  # several hosts: the one that takes writes
    missing = {name: value for name, value in wanted.items() if name not in given}
    return make_conninfo(url, **missing)


def connect(url: str, *, prepare_threshold: int | None = None) -> Connection[DictRow]:
    """Open a direct connection for a worker or a follower; the caller closes it.

    Raises:
        StoreUnavailable: The server cannot be reached, or refuses the login.
    """
    conninfo = with_defaults(url)
    with ExitStack() as undone:
        try:
            connection = Connection[DictRow].connect(
                conninfo, autocommit=True, row_factory=dict_row, prepare_threshold=prepare_threshold
            )
            undone.callback(connection.close)
            _configure(connection, prepare_threshold)
        except psycopg.OperationalError as error:
            raise StoreUnavailable(reason=one_line(error)) from error
        undone.pop_all()
    return connection


class Database:
    """A pool of connections that survives a fork: each process that uses it gets a pool of its own."""

    def __init__(
        self,
        url: str,
        *,
        min_size: int = 1,
        max_size: int = 10,
        timeout: float = 30,
        prepare_threshold: int | None = None,
    ) -> None:
        """Open nothing yet: the pool starts with the first connection that is asked for."""
        self._conninfo = with_defaults(url)
        self._min_size = min(min_size, max_size)
        self._max_size = max_size
        self._timeout = timeout
        self._prepare_threshold = prepare_threshold
        # By process. A forked child leaves its parent's entry alone: to close those connections, or to let
        # them be collected, would end sessions that the parent still uses. No lock either: it could be held
        # at the moment of the fork.
        self._pools: dict[int, Pool] = {}

    @property
    def pool(self) -> Pool:
        """This process's pool, opened."""
        pid = os.getpid()
        pool = self._pools.get(pid)
        if pool is None:
            # Of two threads that come here at once, one's pool is kept; the other was never opened.
            pool = self._pools.setdefault(pid, self._new_pool())
            pool.open()
        return pool

    def connect(self) -> Connection[DictRow]:
        """Open a connection apart from the pool, to the same server; the caller closes it.

        Raises:
            StoreUnavailable: The server cannot be reached, or refuses the login.
        """
        return connect(self._conninfo, prepare_threshold=self._prepare_threshold)

    def open(self) -> Self:
        """Find out at once whether the server takes the login: a pool tries again until its time is up.

        Raises:
            StoreUnavailable: The server cannot be reached, or refuses the login.
        """
        try:
            psycopg.connect(self._conninfo).close()
        except psycopg.OperationalError as error:
            raise StoreUnavailable(reason=one_line(error)) from error
        return self

    @contextmanager
    def connection(self) -> Generator[Connection[DictRow]]:
        """Lend a connection from the pool.

        Raises:
            StoreUnavailable: None was free in time, or the server cannot be reached.
        """
        pool = self.pool
        try:
            connection = _living(pool, time.monotonic() + self._timeout)
        except PoolTimeout as error:
            raise StoreUnavailable(reason=self._why_not(error)) from error
        try:
            yield connection
        except ReadOnlySqlTransaction:
            connection.close()  # the next may lead to the server that has taken this one's place
            raise
        finally:
            pool.putconn(connection)

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_size={self._max_size})"  # never the URL

    def _new_pool(self) -> Pool:
        return ConnectionPool(
            self._conninfo,
            connection_class=Connection[DictRow],
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "prepare_threshold": self._prepare_threshold,
            },
            configure=self._configure,
            min_size=self._min_size,
            max_size=self._max_size,
            open=False,
            name="action-ledger",
        )

    def _configure(self, connection: Connection[DictRow]) -> None:
        _configure(connection, self._prepare_threshold)

    def _why_not(self, error: PoolTimeout) -> str:
        """Tell a pool that is used up from a server that does not answer."""
        try:
            psycopg.connect(self._conninfo).close()
        except psycopg.OperationalError as reason:
            return one_line(reason)
        return one_line(error)


def _living(pool: Pool, deadline: float) -> Connection[DictRow]:
    """Take a connection that the server has not ended.

    The pool can look too, but it waits after each dead one, twice as long as before: after a restart of the server a
    full pool was of no use for half a minute.
    """
    while True:
        connection = pool.getconn(max(0.0, deadline - time.monotonic()))
        try:
            check(connection)
        except psycopg.Error:
            pool.putconn(connection)  # which opens another in its place
        except BaseException:
            pool.putconn(connection)
            raise
        else:
            return connection


def _configure(connection: Connection[DictRow], prepare_threshold: int | None) -> None:
    """Set what a session needs. Behind a pooler that lends sessions out it would be set on somebody else's."""
    # Sent with each BEGIN, so it costs no round trip, and a pooler in transaction mode cannot lose it.
    connection.isolation_level = IsolationLevel.READ_COMMITTED
    if not is_direct(connection):
        return
    if prepare_threshold is None:
        connection.prepare_threshold = PREPARE_AFTER
    connection.execute(WATCH_CLIENT)
    # Refused where the server's platform cannot watch a socket.
    with suppress(psycopg.errors.InvalidParameterValue, psycopg.errors.FeatureNotSupported):
        connection.execute(CHECK_CLIENT)


def is_direct(connection: Connection[DictRow]) -> bool:
    """Whether no pooler stands in between: one gives out numbers of its own, not those of the server's sessions.

    Behind one that hands each transaction to another session, a prepared statement would not be found again.
    """
    row = connection.execute("SELECT pg_backend_pid() AS pid").fetchone()
    return row is not None and row["pid"] == connection.info.backend_pid


def named(connection: Connection[DictRow], name: str) -> Connection[DictRow]:
    """Let a session be known by a name in pg_stat_activity; one that a pooler lends out keeps its own.

    The name that it had, which the others have still, stays in the setting ``action_ledger.others``.
    """
    if is_direct(connection):
        connection.execute(KEEP_NAME)
        connection.execute("SELECT set_config('application_name', %s, false)", [name])
    return connection


def check(connection: Connection[DictRow]) -> None:
    """Find out that the server has ended a session, before it is lent: then the pool takes another.

    Nothing is sent to a server that is silent: what is there to be read unasked is almost always a farewell.
    """
    ready = select.poll()
    ready.register(connection.fileno(), select.POLLIN)
    if ready.poll(0):
        connection.execute("SELECT 1")


def one_line(error: Exception) -> str:
    """Give what an error says, without its line ends."""
    return " ".join(str(error).split())
