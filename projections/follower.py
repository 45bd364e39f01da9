"""The follower: brings a projection up to the head of the log, behind the writers and never in their way.

Each block of events is one transaction; the library's tracking record is its fence, so two followers of one
projection never write one event twice. An event that cannot be read or folded parks its stream: the others go
on, and the parked one is reported.
"""

from collections.abc import Iterable
from uuid import UUID

from eventsourcing.persistence import IntegrityError
from psycopg import Error
from psycopg.rows import DictRow

from . import tracing
from .block import BLOCK
from .projection import Projection, Recorded
from .rows import Rows
from .sql_blocks import read_blocks
from .store import Store, Transaction

SQL = read_blocks("action_ledger.projections", "projections.sql")


def tracking_name(projection: str, generation: int) -> str:
    """Name the fence of one generation: a new one starts from the first event."""
    return f"{projection}.g{generation}"


class Follower:
    """Follows for one projection. Any number of processes may do it at once; one at a time gets on."""

    def __init__(self, store: Store, projection: Projection) -> None:
        self._store = store
        self.projection = projection

    def catch_up(self) -> int:
        """Bring the view up to the head as it now is; give the number of events taken in."""
        count = 0
        limit = BLOCK
        while True:
            try:
                done = self._take(limit)
            except IntegrityError:
                continue  # another follower was faster: go on from where it is
            except Error:
                if limit == 1:
                    raise
                limit = 1  # find the one event that the database will not take
                continue
            if done == 0:
                return count
            count += done
            limit = BLOCK

    def _take(self, limit: int) -> int:
        with self._store.transaction() as transaction:
            generation = transaction.views.generations[self.projection.name]
            name = tracking_name(self.projection.name, generation)
            position = self._store.recorder.position(transaction.cursor, name)
            head = self._store.head(transaction.cursor)
            block = self._store.read(transaction.cursor, after=position, upto=head, limit=limit)
            if not block:
                return 0
            last = block[-1]["notification_id"]
            self._store.recorder.track(transaction.cursor, name, last)
            rows, traceparents = self._fold(transaction, block)
            with tracing.project(
                self.projection.name,
                first=block[0]["notification_id"],
                last=last,
                traceparents=traceparents,
            ):
                self._write(transaction, rows, block if limit == 1 else None)
            return len(block)

    def _fold(
        self, transaction: Transaction, block: list[DictRow]
    ) -> tuple[Rows, Iterable[str | None]]:
        parked = self._parked(transaction, block)
        rows = Rows(self.projection.tables)
        traceparents: list[str | None] = []
        for row in block:
            if row["originator_id"] in parked:
                continue
            try:
                recorded: Recorded = self._store.recorded(row)
                self.projection.project(recorded, rows)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others must go on
                self._park(transaction, row, error)
                parked.add(row["originator_id"])
            else:
                traceparents.append(recorded.event.metadata.traceparent)
        return rows, traceparents

    def _write(self, transaction: Transaction, rows: Rows, alone: list[DictRow] | None) -> None:
        """Write a block; an event that comes alone and will not go in parks its stream."""
        if alone is None:
            rows.write(transaction.cursor, transaction.views.relation)
            return
        try:
            with transaction.savepoint():
                rows.write(transaction.cursor, transaction.views.relation)
        except Error as error:
            self._park(transaction, alone[0], error)

    def _parked(self, transaction: Transaction, block: list[DictRow]) -> set[UUID]:
        streams = list({row["originator_id"] for row in block})
        cursor = transaction.execute(
            SQL["parked_among"], {"projection": self.projection.name, "streams": streams}
        )
        return {row["originator_id"] for row in cursor.fetchall()}

    def _park(self, transaction: Transaction, row: DictRow, error: Exception) -> None:
        transaction.execute(
            SQL["park"],
            {
                "projection": self.projection.name,
                "stream": row["originator_id"],
                "position": row["notification_id"],
                "error": f"{type(error).__name__}: {error}"[:1000],
            },
        )
