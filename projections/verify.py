"""Verify: compares a live view with what the events make of it, at one position and in one snapshot."""

from typing import Any

from psycopg import IsolationLevel, sql
from psycopg.rows import DictRow

from .block import Fold, blocks
from .follower import SQL, tracking_name
from .generation import count_rows
from .projection import Projection
from .rebuild import Verified, Watch
from .shadow import create_shadow, shadow_of
from .store import Store, Transaction

KEPT_BY_WORKERS = (
    "attempts",
    "faults",
    "available_at",
    "last_error",
    "leased_by",
    "leased_until",
    "leased_epoch",
    "delivered",
    "parked_at",
)
"""Columns of the queues that no event says."""


def verify(store: Store, projection: Projection, watch: Watch | None = None) -> Verified:
    """Compare row by row. An event that cannot be taken in is a difference too: nobody knows what it says."""
    unread: list[str] = []

    def remember(row: DictRow, why: str) -> None:
        unread.append(f"event {row['topic']} at position {row['notification_id']} is unread: {why}")

    with store.transaction(IsolationLevel.REPEATABLE_READ) as transaction:
        cursor, views = transaction.cursor, transaction.views
        name = tracking_name(projection.name, views.generations[projection.name])
        follows = projection in store.followed
        position = store.recorder.position(cursor, name) if follows else store.head(cursor)
        for table in projection.tables:
            create_shadow(transaction, table)
        fold = Fold(store, transaction, projection, shadow_of, park=remember)
        for block in blocks(store, transaction, after=0, upto=position):
            fold.take(block)
            if watch is not None:
                watch(projection.name, block[-1]["notification_id"], position)
        rows = sum(count_rows(transaction, views.relation(table)) for table in projection.tables)
        differences = (_difference(transaction, projection, table) for table in projection.tables)
        difference = next(filter(None, differences), next(iter(unread), None))
    return Verified(projection.name, position, rows, difference is None, difference)


def _difference(transaction: Transaction, projection: Projection, table: str) -> str | None:
    statement = SQL["difference"].format(
        live=transaction.views.relation(table),
        shadow=shadow_of(table),
        key=sql.Identifier(projection.tables[table]),
    )
    row = transaction.cursor.execute(statement, {"apart": list(KEPT_BY_WORKERS)}).fetchone()
    if row is None:
        return None
    more = f" ({row['differing']} rows differ)" if row["differing"] > 1 else ""
    return f"{table} {row['key']}: {_shown(row['live'], row['rebuilt'])}{more}"


def _shown(live: dict[str, Any] | None, rebuilt: dict[str, Any] | None) -> str:
    if live is None:
        return "missing in the live view"
    if rebuilt is None:
        return "no event calls for it"
    differing = sorted(name for name in live.keys() | rebuilt.keys() if live[name] != rebuilt[name])
    return "; ".join(
        f"{name}: live {live[name]!r}, rebuilt {rebuilt[name]!r}" for name in differing
    )
