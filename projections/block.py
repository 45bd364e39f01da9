"""Folds the log into rows, block after block: what followers, rebuilds and verifications share.

An event that cannot be read or folded, or whose rows the database will not take, parks its stream: the rest goes
on without it. Where nobody parks, it is an error.
"""

from collections.abc import Callable, Iterator, Mapping
from uuid import UUID

from psycopg import Error
from psycopg.rows import DictRow
from pydantic import ValidationError

from action_ledger.domain.errors import ProjectionBlocked

from .projection import Projection
from .rows import Relation, Rows
from .store import Store, Transaction

BLOCK = 2_000
"""Events read and folded at a time."""

Park = Callable[[DictRow, str], None]
"""Told the stored event that was too much, and why."""

_PASSING_CLASSES = ("08", "25", "40", "53", "55", "57", "58")
"""Connection, transaction, rollback, resources, object in use, intervention, system: no event's fault."""


def blocks(
    store: Store, transaction: Transaction, *, after: int, upto: int
) -> Iterator[list[DictRow]]:
    """Read the stored events after one position up to another, a block at a time."""
    while after < upto:
        rows = store.read(transaction.cursor, after=after, upto=upto, limit=BLOCK)
        if not rows:
            return
        after = rows[-1]["notification_id"]
        yield rows


class _LeftOut(Exception):  # noqa: N818 - not a fault
    """An event was left out, and half of it may be among the rows."""


class Fold:
    """Folds blocks of stored events into one projection's rows, in the caller's transaction."""

    def __init__(
        self,
        store: Store,
        transaction: Transaction,
        projection: Projection,
        relation: Relation,
        *,
        park: Park | None = None,
        parked: Mapping[UUID, int] | None = None,
    ) -> None:
        """``parked`` gives the position from which on a stream is left out; ``park`` is told of further ones."""
        self._store = store
        self._transaction = transaction
        self._projection = projection
        self._relation = relation
        self._park = park
        self._parked = dict(parked or {})
        self.traceparents: list[str | None] = []

    def take(self, block: list[DictRow]) -> None:
        """Write what a block of events makes of the rows. Raises ProjectionBlocked where nobody parks."""
        self.write(self.project(block), block)

    def project(self, block: list[DictRow]) -> Rows:
        """Fold a block, and keep the trace context of each of its events."""
        try:
            return self._fold(block)
        except _LeftOut:
            return self._fold_apart(block)

    def _fold(self, block: list[DictRow]) -> Rows:
        """Fold one event after the other into the same rows."""
        rows = Rows(self._projection.tables)
        self.traceparents = []
        for row in block:
            if not self._is_parked(row):
                try:
                    self._take_in(row, rows)
                except Exception as error:
                    self._leave_out(row, error)
                    raise _LeftOut from error
        return rows

    def _fold_apart(self, block: list[DictRow]) -> Rows:
        """Fold each event into rows of its own first: of one that fails half-way nothing may stay."""
        rows = Rows(self._projection.tables)
        self.traceparents = []
        for row in block:
            if not self._is_parked(row):
                own = Rows(self._projection.tables)
                try:
                    self._take_in(row, own)
                except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
                    self._leave_out(row, error)
                else:
                    rows.absorb(own)
        return rows

    def _take_in(self, row: DictRow, rows: Rows) -> None:
        recorded = self._store.recorded(row)
        self._projection.project(recorded, rows)
        self.traceparents.append(recorded.event.metadata.traceparent)

    def write(self, rows: Rows, block: list[DictRow]) -> None:
        """Write the rows of a block; those that the database will not take are found by halving it."""
        if self._park is None:
            rows.write(self._transaction.cursor, self._relation)
            return
        try:
            with self._transaction.savepoint():
                rows.write(self._transaction.cursor, self._relation)
        except Error as error:
            if error.sqlstate is None or error.sqlstate.startswith(_PASSING_CLASSES):
                raise
            if len(block) == 1:
                self._leave_out(block[0], error)
                return
            middle = len(block) // 2
            self.take(block[:middle])
            self.take(block[middle:])

    def _is_parked(self, row: DictRow) -> bool:
        if not self._parked:
            return False
        parked_at = self._parked.get(row["originator_id"])
        return parked_at is not None and row["notification_id"] >= parked_at

    def _leave_out(self, row: DictRow, error: Exception) -> None:
        if self._park is None:
            raise ProjectionBlocked(
                projection=self._projection.name,
                position=row["notification_id"],
                topic=row["topic"],
                detail=_reason(error),
            ) from error
        self._parked[row["originator_id"]] = row["notification_id"]
        self._park(row, _reason(error))


def _reason(error: Exception) -> str:
    """Say in a line what is wrong, without the values that were met."""
    match error:
        case ValidationError():
            found = error.errors(include_input=False, include_context=False, include_url=False)
            parts = (f"{'.'.join(map(str, each['loc'])) or 'all'}: {each['msg']}" for each in found)
            text = "; ".join(parts)
        case Error():
            text = error.diag.message_primary or ""
        case _:
            text = str(error)
    return f"{type(error).__name__}: {' '.join(text.split())}"[:1000]
