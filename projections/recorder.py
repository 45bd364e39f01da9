"""The library's recorder, made to append inside a transaction that is already at work.

Its own ``insert_events`` opens a connection, retries, and turns a lost answer to COMMIT into a false conflict;
so the ledger calls the steps it is made of. A contract test pins their names.
"""

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Self

from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresProcessRecorder,
)
from psycopg import Connection, Cursor, sql
from psycopg.rows import DictRow
from psycopg.types.composite import register_composite

Connections = Callable[[], AbstractContextManager[Connection[DictRow]]]


class Datastore(PostgresDatastore):
    """Lends connections to the recorder.

    ``connections`` lends one from a pool that is the caller's, built from the whole URL; the library's own
    would leave options out.
    """

    def __init__(self, connections: Connections, schema: str) -> None:
        super().__init__(dbname="", host="", port="", user="", password="", schema=schema)
        self._connections = connections

    def over(self, connections: Connections) -> Self:
        """Give the same over other connections."""
        other = copy.copy(self)
        other._connections = connections  # noqa: SLF001 - of its own kind
        return other

    @contextmanager
    def get_connection(self) -> Generator[Connection[DictRow]]:
        """Lend a connection that knows how events are written."""
        with self._connections() as connection:
            self.prepare(connection)
            yield connection

    def prepare(self, connection: Connection[DictRow]) -> None:
        """Teach a connection the type through which events are written."""
        for info in self.psycopg_type_adapters.values():
            if connection.adapters.types.get(info.oid) is None:
                register_composite(info, connection)

    def close(self) -> None:
        """Leave the pool alone: who made it closes it."""


class Recorder(PostgresProcessRecorder):
    """Appends on a given cursor, under a lock with a time limit, and gives position and time back."""

    def __init__(self, datastore: Datastore, *, lock_timeout_ms: int) -> None:
        super().__init__(datastore)
        self.insert_events_statement: sql.Composed = super().__getattribute__(
            "insert_events_statement"
        ) + sql.SQL(", recorded_at")
        self._taking = (
            sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{lock_timeout_ms}ms")),
            sql.SQL("LOCK TABLE {}.{} IN EXCLUSIVE MODE").format(
                sql.Identifier(datastore.schema), sql.Identifier(self.events_table_name)
            ),
        )
        self.lock_table_statements = list(self._taking)

    def lock(self, cursor: Cursor[DictRow], *, then: sql.Composable) -> None:
        """Take the append lock: from here to COMMIT nobody else gets a position.

        ``then`` is a query that is asked under it; the cursor is left at its answer. All is one message, since others
        wait for what is done under the lock. The library's channel is told at COMMIT.
        """
        notify = sql.SQL("NOTIFY {}").format(sql.Identifier(self.channel_name))
        message = sql.SQL("; ").join([*self._taking, notify, then])
        cursor.execute(message, prepare=False)  # several statements cannot be prepared
        while cursor.nextset():
            pass

    def append(
        self, cursor: Cursor[DictRow], events: Sequence[StoredEvent]
    ) -> list[tuple[int, datetime]]:
        """Write events, under the append lock, and give (position, recorded_at) of each, in their order."""
        # That of the application's recorder would take the lock once more.
        super(PostgresApplicationRecorder, self)._insert_stored_events(cursor, events)
        return [(row["notification_id"], row["recorded_at"]) for row in cursor.fetchall()]

    def position(self, cursor: Cursor[DictRow], name: str) -> int:
        """Read where a follower's fence stands; 0 before its first event."""
        return self._max_tracking_id(name, cursor) or 0

    def track(self, cursor: Cursor[DictRow], projection: str, position: int) -> None:
        """Move a follower's fence. Raises the library's IntegrityError when another was faster."""
        self._insert_tracking(cursor, Tracking(projection, position))
