"""The store: transactions that do and record. Everything that changes a record goes through here.

Lock order: queue row, then the user's rows, then the append lock, then inline view rows. Nothing that holds
the append lock may wait for a queue row.
"""

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self, cast
from uuid import UUID

from opentelemetry.trace import Span
from psycopg import Connection, Cursor, IsolationLevel, sql
from psycopg.rows import DictRow

from action_ledger.domain.event import Event
from action_ledger.domain.mapper import EventMapper

from . import tracing
from .assumed import Assumed
from .commit import AfterCommit, committing, savepoint
from .in_place import IN_PLACE
from .projection import Projection, Recorded
from .recorder import Connections, Datastore, Recorder
from .relations import Views
from .rows import Rows
from .sql_blocks import Fixed, read_blocks
from .work_queue import announcement

SQL = read_blocks("action_ledger.projections", "store.sql")

STREAMED_AT_ONCE = 8
"""Rows of bulk data fetched at a time: each may hold a whole batch."""


class Transaction:
    """One transaction, with what it needs to read, to record and to come to an end."""

    def __init__(self, store: "Store", connection: Connection[DictRow], spans: ExitStack) -> None:
        self.connection = connection
        self.cursor: Cursor[DictRow] = connection.cursor()
        self.assumed = Assumed(self.cursor)
        self._store = store
        self._spans = spans
        self._afterwards = AfterCommit()
        self._views: Views | None = None
        self._locked = False

    @property
    def records(self) -> bool:
        """Whether it came to the append lock: then its COMMIT is a statement of the ledger's own."""
        return self._locked

    def cover(self, span: tracing.Scope) -> Span:
        """Begin a span that ends after COMMIT, so that the COMMIT and its failure belong to it."""
        return self._spans.enter_context(span)

    def after_commit(self, step: Callable[[], object]) -> None:
        """Do something once this has committed, and only then; it may fail, but cannot fail the transaction."""
        self._afterwards.add(step)

    def committed(self) -> None:
        """Do what was put off until now."""
        self._afterwards.run()

    def forget(self) -> None:
        """Put off nothing any more: what was done is rolled back, though the transaction commits."""
        self._afterwards.clear()

    @property
    def schema(self) -> sql.Identifier:
        """The ledger's schema, to compose with."""
        return sql.Identifier(self._store.schema)

    @property
    def schema_name(self) -> str:
        """The same by its name."""
        return self._store.schema

    @property
    def views(self) -> Views:
        """The views as they stand. What is read before the append lock may be switched until then."""
        if self._views is None:
            self._views = self._store.resolve_views(self.cursor)
        return self._views

    def look_again(self) -> None:
        """See the views as they stand from now on, after a lock that holds off those who write to them."""
        self._views = None

    def execute(
        self, query: sql.SQL, parameters: Mapping[str, Any] | None = None
    ) -> Cursor[DictRow]:
        """Run a block of SQL with the schema and the views' tables put in."""
        return self.cursor.execute(self.compose(query), parameters)

    def stream(
        self, query: sql.SQL, parameters: Mapping[str, Any] | None = None
    ) -> Iterator[DictRow]:
        """Run a block and give its rows a few at a time, however many there are."""
        with self.connection.cursor(name=f"action_ledger_{id(self)}") as cursor:
            cursor.itersize = STREAMED_AT_ONCE
            cursor.execute(self.compose(query), parameters)
            yield from cursor

    def compose(self, query: sql.SQL, **parts: sql.Composable) -> sql.Composed:
        """Put the schema, the views' tables and further parts into a block."""
        return query.format(**self._identifiers(query), **parts)

    def _identifiers(self, query: sql.SQL) -> dict[str, sql.Identifier]:
        """Name the schema, and the views where a block speaks of them: to know those takes a look."""
        named = {"schema": self.schema}
        if self._store.speaks_of_views(query):
            named |= self.views.identifiers()
        return named

    @contextmanager
    def savepoint(self, *, settled: bool = False) -> Generator[None]:
        """Make a part all or nothing; ``settled`` checks deferred constraints at its end, so that COMMIT cannot fail."""
        with self._afterwards.part(), savepoint(self.connection, settled=settled):
            yield

    def lock(self) -> None:
        """Take the append lock, last of all locks, and see the views as they then are."""
        if self._locked:
            return
        self.assumed.give_role_back()
        self._store.recorder.lock(self.cursor, then=self._store.generations)
        self._views = self._store.views_of(self.cursor)
        self._locked = True

    def append(self, *events: Event) -> list[Recorded]:
        """Append events and write the inline views, in this transaction. Takes the append lock by itself."""
        self.assumed.give_role_back()
        stored = [self._store.mapper.to_stored_event(cast("Any", event)) for event in events]
        with tracing.statement("INSERT", table="events"):
            self.lock()
            places = self._store.recorder.append(self.cursor, stored)
        recorded = [Recorded(*place, event) for place, event in zip(places, events, strict=True)]
        rows = Rows({t: key for each in self._store.inline for t, key in each.tables.items()})
        for projection in self._store.inline:
            for one in recorded:
                projection.project(one, rows)
        payload = announcement(events, queued=any(map(rows.adds, IN_PLACE)))
        # Sent at COMMIT, once, however often a transaction asks for it.
        also = None if payload is None else {"channel": self._store.channel, "payload": payload}
        rows.write(self.cursor, self.views.relation, then=SQL["announce"], values=also)
        return recorded


class Store:
    """The event log and its inline views, over one pool of connections."""

    def __init__(
        self,
        datastore: Datastore,
        *,
        inline: Sequence[Projection],
        followed: Sequence[Projection],
        search_path: str,
        lock_timeout_ms: int,
    ) -> None:
        self.datastore = datastore
        self.schema = datastore.schema
        self.mapper = EventMapper()
        self.recorder = Recorder(datastore, lock_timeout_ms=lock_timeout_ms)
        self.generations = Fixed(SQL["generations"].format(schema=sql.Identifier(self.schema)))
        self.inline = tuple(inline)
        self.followed = tuple(followed)
        self._search_path = search_path
        self._places = tuple(f"{{{table}}}" for p in self.projections for table in p.tables)

    @property
    def projections(self) -> tuple[Projection, ...]:
        """All of them, inline first."""
        return self.inline + self.followed

    @property
    def channel(self) -> str:
        """Where a transaction says, by NOTIFY at its COMMIT, that there is work, or that a job has ended."""
        return self.schema

    def over(self, connections: Connections) -> Self:
        """Give the same store over other connections."""
        other = copy.copy(self)
        other.datastore = self.datastore.over(connections)
        return other

    @contextmanager
    def transaction(
        self,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
        *,
        silence: float | None = None,
        limit: float | None = None,
    ) -> Generator[Transaction]:
        """Begin, pin the session's settings, and commit at the end; an exception rolls back.

        With ``silence`` the server ends the transaction when nothing is heard of it for so many seconds: a
        process that is frozen, or cut off, would hold its locks for ever, the append lock perhaps among them.
        With ``limit`` it ends each statement that takes more seconds; a shorter limit of the server's stays.

        READ COMMITTED, whatever the database's default: a decision made on a snapshot older than the lock
        under which it is made would be wrong. Only a comparison of views wants one snapshot for all.
        """
        with self.datastore.get_connection() as connection, ExitStack() as spans:
            connection.isolation_level = isolation
            transaction = Transaction(self, connection, spans)
            with committing(connection, records=lambda: transaction.records):
                transaction.cursor.execute(
                    SQL["pin"],
                    {
                        "search_path": self._search_path,
                        "silence": _milliseconds(silence),
                        "limit": _milliseconds(limit),
                    },
                )
                yield transaction
            transaction.committed()

    @contextmanager
    def rehearsal(
        self, *, silence: float | None = None, limit: float | None = None
    ) -> Generator[Transaction]:
        """Do as in a transaction, and roll back at the end."""
        with (
            self.transaction(silence=silence, limit=limit) as transaction,
            transaction.connection.transaction(force_rollback=True),
        ):
            yield transaction
            transaction.forget()

    def speaks_of_views(self, query: sql.SQL) -> bool:
        """Say whether a block has a place for a view's table."""
        text = query.as_string()
        return any(place in text for place in self._places)

    def resolve_views(self, cursor: Cursor[DictRow]) -> Views:
        """Read which generation stands for each projection."""
        return self.views_of(cursor.execute(self.generations))

    def views_of(self, cursor: Cursor[DictRow]) -> Views:
        """Take the answer to ``generations``."""
        generations = {row["name"]: row["generation"] for row in cursor.fetchall()}
        return Views(self.schema, generations, self.projections)

    def read(self, cursor: Cursor[DictRow], *, after: int, upto: int, limit: int) -> list[DictRow]:
        """Read a block of stored events by position, not mapped yet."""
        cursor.execute(
            SQL["events"].format(schema=sql.Identifier(self.schema)),
            {"after": after, "upto": upto, "limit": limit},
        )
        return cursor.fetchall()

    def read_stream(self, cursor: Cursor[DictRow], id_: UUID) -> list[Recorded]:
        """Read one stream, mapped."""
        cursor.execute(SQL["stream"].format(schema=sql.Identifier(self.schema)), {"id": id_})
        return [self.recorded(row) for row in cursor.fetchall()]

    def head(self, cursor: Cursor[DictRow]) -> int:
        """Give the newest position, 0 when there is no event."""
        cursor.execute(SQL["head"].format(schema=sql.Identifier(self.schema)))
        row = cursor.fetchone()
        return 0 if row is None else int(row["position"])

    def recorded(self, row: DictRow) -> Recorded:
        """Map one row of ``read``."""
        event = self.mapper.to_domain_event(cast("Any", _Stored(row)))
        return Recorded(row["notification_id"], row["recorded_at"], cast("Event", event))


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else str(round(seconds * 1000))


class _Stored:
    """A row of the log in the form that the mapper takes."""

    __slots__ = ("originator_id", "originator_version", "state", "topic")

    def __init__(self, row: DictRow) -> None:
        self.originator_id = row["originator_id"]
        self.originator_version = row["originator_version"]
        self.topic = row["topic"]
        self.state = row["state"]
