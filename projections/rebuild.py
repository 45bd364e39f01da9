"""Rebuild and verify: a view made anew from event one, beside the live one.

A rebuild is one transaction: it leaves nothing behind when it fails. It catches up with the writers first, and
takes the append lock only for the last events and the switch, which is the update of one row; nothing takes an
exclusive lock on a live view, and a reader that has found the old generation reads on in it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import IsolationLevel, sql
from psycopg.errors import LockNotAvailable

from action_ledger.domain.errors import RebuildRunning

from .block import fold
from .follower import SQL, tracking_name
from .projection import Projection
from .store import Store, Transaction, generation_of
from .work_queue import TABLE as QUEUE_TABLE
from .work_queue import WorkQueue

Watch = Callable[[str, int, int], None]
"""Told the projection, the position reached and the head."""

TAIL = 500
"""So few events may be left when the append lock is taken for the rest."""
LOCK_TRIES = 20
KEPT_BY_WORKERS = ("attempts", "available_at", "last_error")
"""Columns of the queue that no event says."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did."""

    name: str
    generation: int
    events: int
    rows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Verified:
    """What a comparison found. ``difference`` names the first row that differs, with both versions."""

    name: str
    position: int
    rows: int
    equal: bool
    difference: str | None


def rebuild(store: Store, projection: Projection, watch: Watch | None = None) -> Rebuilt:
    """Build the view anew and switch to it. Raises RebuildRunning when another is at it."""
    started = time.monotonic()
    with store.transaction() as transaction:
        _alone(transaction, store, projection)
        work = (
            _Reconciliation(transaction, projection)
            if isinstance(projection, WorkQueue)
            else _NextGeneration(store, transaction, projection)
        )
        events, position = 0, 0
        while True:
            head = store.head(transaction.cursor)
            last = head - position <= TAIL
            if last:
                _lock_log(transaction)
                head = store.head(transaction.cursor)
            events += fold(
                store,
                transaction.cursor,
                projection,
                work.relation,
                after=position,
                upto=head,
                watch=None if watch is None else _watching(watch, projection.name, head),
            )
            position = head
            if last:
                break
        rows, generation = work.finish(position)
    return Rebuilt(projection.name, generation, events, rows, time.monotonic() - started)


def verify(
    store: Store, projection: Projection, *, inline: bool, watch: Watch | None = None
) -> Verified:
    """Compare the live view with what the events make of it, at one position and in one snapshot."""
    with store.transaction(IsolationLevel.REPEATABLE_READ) as transaction:
        cursor, views = transaction.cursor, transaction.views
        head = store.head(cursor)
        name = tracking_name(projection.name, views.generations[projection.name])
        position = head if inline else store.recorder.position(cursor, name)
        for table in projection.tables:
            cursor.execute(
                SQL["create_shadow"].format(shadow=_shadow_name(table), live=views.relation(table))
            )
        fold(
            store,
            cursor,
            projection,
            _shadow,
            after=0,
            upto=position,
            watch=None if watch is None else _watching(watch, projection.name, position),
        )
        rows, difference = 0, None
        for table in projection.tables:
            rows += _count(transaction, views.relation(table))
            difference = difference or _difference(transaction, projection, table)
    return Verified(projection.name, position, rows, difference is None, difference)


class _NextGeneration:
    """Tables of the next generation, and the switch to them."""

    def __init__(self, store: Store, transaction: Transaction, projection: Projection) -> None:
        self._store, self._transaction, self._projection = store, transaction, projection
        live = transaction.views.generations[projection.name]
        self.generation = live + 1
        for table in projection.tables:
            _drop_before(transaction, store.schema, table, live)
            transaction.cursor.execute(
                SQL["create_like"].format(
                    next=self.relation(table), live=transaction.views.relation(table)
                )
            )

    def relation(self, table: str) -> sql.Identifier:
        return generation_of(self._store.schema, table, self.generation)

    def finish(self, position: int) -> tuple[int, int]:
        name = self._projection.name
        if any(name == followed.name for followed in self._store.followed) and position:
            self._store.recorder.track(
                self._transaction.cursor, tracking_name(name, self.generation), position
            )
        self._transaction.execute(SQL["unpark"], {"projection": name})
        self._transaction.execute(
            SQL["switch"], {"projection": name, "generation": self.generation}
        )
        rows = sum(
            _count(self._transaction, self.relation(table)) for table in self._projection.tables
        )
        return rows, self.generation


class _Reconciliation:
    """The work queue is not switched, since its rows carry locks: what is missing or too much is mended."""

    def __init__(self, transaction: Transaction, projection: Projection) -> None:
        self._transaction = transaction
        self._live = transaction.views.relation(QUEUE_TABLE)
        self._key = sql.Identifier(projection.tables[QUEUE_TABLE])
        self._generation = transaction.views.generations[projection.name]
        transaction.cursor.execute(
            SQL["create_shadow"].format(shadow=_shadow_name(QUEUE_TABLE), live=self._live)
        )

    @staticmethod
    def relation(table: str) -> sql.Identifier:
        return _shadow(table)

    def finish(self, position: int) -> tuple[int, int]:  # noqa: ARG002 - as the other one has it
        for block in ("insert_missing", "delete_surplus"):
            self._transaction.cursor.execute(
                SQL[block].format(live=self._live, shadow=_shadow(QUEUE_TABLE), key=self._key)
            )
        return _count(self._transaction, self._live), self._generation


def _alone(transaction: Transaction, store: Store, projection: Projection) -> None:
    row = transaction.cursor.execute(
        SQL["rebuild_lock"].format(schema_text=sql.Literal(store.schema)),
        {"projection": projection.name},
    ).fetchone()
    if not (row and row["free"]):
        raise RebuildRunning(projection=projection.name)


def _lock_log(transaction: Transaction) -> None:
    """Take the append lock; where writers hold it for long, try again rather than lose the work."""
    for _ in range(LOCK_TRIES - 1):
        try:
            with transaction.savepoint():
                transaction.lock()
        except LockNotAvailable:
            continue
        return
    transaction.lock()


def _drop_before(transaction: Transaction, schema: str, table: str, live: int) -> None:
    """Drop generations before the live one, unless a reader is still in them."""
    rows = transaction.cursor.execute(
        SQL["old_generations"].format(schema_text=sql.Literal(schema)),
        {"pattern": f"^view_{table}_g[0-9]+$"},
    ).fetchall()
    for row in rows:
        if int(row["relname"].rpartition("_g")[2]) >= live:
            continue
        try:
            with transaction.savepoint():
                transaction.cursor.execute("SET LOCAL lock_timeout = '100ms'")
                transaction.cursor.execute(
                    SQL["drop_old"].format(old=sql.Identifier(schema, row["relname"]))
                )
        except LockNotAvailable:
            continue


def _shadow_name(table: str) -> sql.Identifier:
    return sql.Identifier(f"rebuilt_{table}")


def _shadow(table: str) -> sql.Identifier:
    return sql.Identifier("pg_temp", f"rebuilt_{table}")


def _count(transaction: Transaction, relation: sql.Identifier) -> int:
    row = transaction.cursor.execute(SQL["count_rows"].format(live=relation)).fetchone()
    return int(row["rows"]) if row else 0


def _difference(transaction: Transaction, projection: Projection, table: str) -> str | None:
    statement = SQL["difference"].format(
        live=transaction.views.relation(table),
        shadow=_shadow(table),
        key=sql.Identifier(projection.tables[table]),
    )
    row = transaction.cursor.execute(statement, {"apart": list(KEPT_BY_WORKERS)}).fetchone()
    if row is None:
        return None
    live: dict[str, Any] = row["live"] or {}
    rebuilt: dict[str, Any] = row["rebuilt"] or {}
    columns = sorted(
        name for name in live.keys() | rebuilt.keys() if live.get(name) != rebuilt.get(name)
    )
    shown = "; ".join(
        f"{name}: live {live.get(name)!r}, rebuilt {rebuilt.get(name)!r}" for name in columns
    )
    more = f" ({row['differing']} rows differ)" if row["differing"] > 1 else ""
    return f"{table} {row['key']}: {shown}{more}"


def _watching(watch: Watch, name: str, head: int) -> Callable[[int], None]:
    return lambda position: watch(name, position, head)
