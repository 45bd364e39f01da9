"""Rebuild: a view made anew from event one, beside the live one.

It is one transaction, so it leaves nothing behind when it fails. It catches up with the writers first, and holds
them up only for the last events and the switch, which is the update of one row; nothing takes an exclusive lock
on a live view, and a reader that has found the old generation reads on in it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql
from psycopg.errors import LockNotAvailable
from psycopg.rows import DictRow

from action_ledger.domain.errors import RebuildRunning

from .block import Fold, blocks
from .follower import SQL, follow_alone, park
from .generation import NextGeneration, count_rows, drop_before
from .in_place import IN_PLACE
from .projection import Projection
from .reconciliation import Reconciliation
from .steps import reached
from .store import Store, Transaction

Watch = Callable[[str, int, int], None]
"""Told the projection, the position reached and the head."""

TAIL = 500
"""So few events may be left when writers are held up for the rest."""
LOCK_TRIES = 20


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did. ``parked`` streams are those with an event that the projection cannot take in."""

    name: str
    generation: int
    events: int
    rows: int
    seconds: float
    parked: int = 0


@dataclass(frozen=True, slots=True)
class Verified:
    """What a comparison found. ``difference`` names the first row that differs, with both versions."""

    name: str
    position: int
    rows: int
    equal: bool
    difference: str | None


def rebuild(store: Store, projection: Projection, watch: Watch | None = None) -> Rebuilt:
    """Build the view anew and switch to it.

    Raises RebuildRunning when another is at it, and ProjectionBlocked for an event that an inline projection
    cannot take in; one that follows parks the event's stream instead.
    """
    started = time.monotonic()
    parked: dict[UUID, tuple[int, str]] = {}

    def park_stream(row: DictRow, why: str) -> None:
        parked[row["originator_id"]] = row["notification_id"], why

    follows = projection in store.followed
    with store.transaction() as transaction:
        _alone(transaction, store, projection)
        before = transaction.views.generations[projection.name]
        work = (
            Reconciliation(store, transaction, projection)
            if projection.tables.keys() <= IN_PLACE
            else NextGeneration(store, transaction, projection)
        )
        fold = Fold(
            store, transaction, projection, work.relation, park=park_stream if follows else None
        )
        reached("rebuild.begun")
        events, position, last = 0, 0, False
        while not last:
            head = store.head(transaction.cursor)
            last = head - position <= TAIL
            if last:
                work.prepare()
                reached("rebuild.prepared")
                _hold_up(store, transaction, projection)
                reached("rebuild.held_up")
                head = store.head(transaction.cursor)
            for block in blocks(store, transaction, after=position, upto=head):
                fold.take(block)
                reached("rebuild.folded")
                events += len(block)
                position = block[-1]["notification_id"]
                if watch is not None:
                    watch(projection.name, position, head)
            position = head
        work.finish(position)
        park(transaction, projection, parked)
        reached("rebuild.before_commit")
    reached("rebuild.switched")
    drop_before(store, projection, before)
    with store.transaction() as transaction:
        rows = sum(
            count_rows(transaction, transaction.views.relation(t)) for t in projection.tables
        )
        generation = transaction.views.generations[projection.name]
    seconds = time.monotonic() - started
    return Rebuilt(projection.name, generation, events, rows, seconds, len(parked))


def _alone(transaction: Transaction, store: Store, projection: Projection) -> None:
    row = transaction.cursor.execute(
        SQL["rebuild_lock"].format(schema_text=sql.Literal(store.schema)),
        {"projection": projection.name},
    ).fetchone()
    if not (row and row["free"]):
        raise RebuildRunning(projection=projection.name)


def _hold_up(store: Store, transaction: Transaction, projection: Projection) -> None:
    """Hold up those who write the live view: its followers, or for an inline view whoever appends."""
    if projection in store.followed:
        follow_alone(store, transaction, projection)
        return
    for _ in range(LOCK_TRIES - 1):
        try:
            with transaction.savepoint():
                transaction.lock()
        except LockNotAvailable:
            continue  # writers hold it for long: try again rather than lose the work
        return
    transaction.lock()
