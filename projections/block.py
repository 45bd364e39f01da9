"""Folds the log into rows, block after block: what followers, rebuilds and verifications share."""

from collections.abc import Callable, Iterator

from psycopg import Cursor
from psycopg.rows import DictRow

from .projection import Projection
from .rows import Relation, Rows
from .store import Store

BLOCK = 2_000
"""Events read and folded at a time."""


def blocks(
    store: Store, cursor: Cursor[DictRow], *, after: int, upto: int
) -> Iterator[list[DictRow]]:
    """Read the stored events after one position up to another, a block at a time."""
    while after < upto:
        rows = store.read(cursor, after=after, upto=upto, limit=BLOCK)
        if not rows:
            return
        after = rows[-1]["notification_id"]
        yield rows


def fold(
    store: Store,
    cursor: Cursor[DictRow],
    projection: Projection,
    relation: Relation,
    *,
    after: int,
    upto: int,
    watch: Callable[[int], None] | None = None,
) -> int:
    """Write what the events after one position up to another make of a projection; give their number."""
    count = 0
    for block in blocks(store, cursor, after=after, upto=upto):
        rows = Rows(projection.tables)
        for row in block:
            projection.project(store.recorded(row), rows)
        rows.write(cursor, relation)
        count += len(block)
        if watch is not None:
            watch(block[-1]["notification_id"])
    return count
