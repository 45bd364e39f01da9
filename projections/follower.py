"""The follower: brings a projection up to the head of the log, behind the writers and never in their way.

Each block of events is one transaction, with one follower of a projection in it at a time; the library's tracking
record says how far it has come. An event that cannot be taken in parks its stream: the others go on, and the
parked one is reported.
"""

from collections.abc import Mapping
from uuid import UUID

from psycopg import sql
from psycopg.rows import DictRow

from . import tracing
from .block import BLOCK, Fold
from .projection import Projection
from .sql_blocks import read_blocks
from .steps import reached
from .store import Store, Transaction

SQL = read_blocks("action_ledger.projections", "projections.sql")


def tracking_name(projection: str, generation: int) -> str:
    """Name the tracking record of one generation: a new one starts from the first event."""
    return f"{projection}.g{generation}"


def follow_alone(store: Store, transaction: Transaction, projection: Projection) -> None:
    """Wait until no other follower is within a block, and let none begin before this transaction ends.

    The tracking record alone would let a second one in whose block begins at the same event and reaches further.
    """
    transaction.cursor.execute(
        SQL["follow_lock"].format(schema_text=sql.Literal(store.schema)),
        {"projection": projection.name},
    )


def park(
    transaction: Transaction, projection: Projection, parked: Mapping[UUID, tuple[int, str]]
) -> None:
    """Remember streams that a projection cannot read on with: from which position, and why."""
    for stream, (position, error) in parked.items():
        transaction.execute(
            SQL["park"],
            {"projection": projection.name, "stream": stream, "position": position, "error": error},
        )


class Follower:
    """Follows for one projection. Any number of processes may do it at once; one at a time gets on."""

    def __init__(self, store: Store, projection: Projection) -> None:
        self._store = store
        self.projection = projection

    def catch_up(self) -> int:
        """Bring the view up to the head as it now is; give the number of events taken in."""
        count = 0
        while taken := self._take():
            count += taken
        return count

    def _take(self) -> int:
        """Take a block in, and give its size."""
        with self._store.transaction() as transaction:
            follow_alone(self._store, transaction, self.projection)
            reached("follow.locked")
            generation = transaction.views.generations[self.projection.name]
            name = tracking_name(self.projection.name, generation)
            position = self._store.recorder.position(transaction.cursor, name)
            head = self._store.head(transaction.cursor)
            block = self._store.read(transaction.cursor, after=position, upto=head, limit=BLOCK)
            if not block:
                return 0
            first, last = block[0]["notification_id"], block[-1]["notification_id"]
            self._store.recorder.track(transaction.cursor, name, last)
            reached("follow.tracked")
            parked: dict[UUID, tuple[int, str]] = {}
            fold = Fold(
                self._store,
                transaction,
                self.projection,
                transaction.views.relation,
                park=lambda row, why: parked.update(
                    {row["originator_id"]: (row["notification_id"], why)}
                ),
                parked=self._parked(transaction, block),
            )
            rows = fold.project(block)
            with tracing.project(
                self.projection.name, first=first, last=last, traceparents=fold.traceparents
            ):
                fold.write(rows, block)
                reached("follow.written")
                park(transaction, self.projection, parked)
            reached("follow.before_commit")
            return len(block)

    def _parked(self, transaction: Transaction, block: list[DictRow]) -> dict[UUID, int]:
        streams = list({row["originator_id"] for row in block})
        cursor = transaction.execute(
            SQL["parked_among"], {"projection": self.projection.name, "streams": streams}
        )
        return {row["originator_id"]: row["position"] for row in cursor.fetchall()}
