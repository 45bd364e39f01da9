"""Record locks: whose are the records that were cut, decided in the table's turn before anything is appended.

Lock order: queue row, then the user's rows, then the table's turn, then the append lock. A turn lasts to the end of
its transaction: whoever comes next sees what was decided in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql

from action_ledger.domain import batch, record_lock
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.errors import RecordsLocked
from action_ledger.domain.event import Event, Metadata, Tally
from action_ledger.domain.record_lock import (
    OnLocked,
    RecordLock,
    RecordLockStatus,
    record_lock_id,
)
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .cutter import Cut, Cutter
from .images import array_of, element, listed, numbered, unnested, value
from .slices import outcomes_digest_of
from .steps import reached
from .table import Column, Table

SQL = read_blocks("action_ledger.workers", "locks.sql")

ORDERED = frozenset({"smallint", "integer", "bigint", "numeric", "uuid", "date"})
"""Types of keys whose order is always the same. That of a text is its collation's, which may be another by now."""
MOST_OWNERS = 100
"""So many owners are named to one who waits for them; when those have ended, he looks again."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What an owner wants: the records of its key sets, but for those of batches up to ``after``.

    ``reference`` is the table's name as events have it. ``place`` is where the owner stands among those who wait;
    None is behind all of them.
    """

    table: Table
    reference: str
    execution_id: UUID
    lock: RecordLock
    undo_id: UUID | None = None
    keys_of: UUID | None = None
    place: int | None = None
    after: int = 0

    @property
    def owner_id(self) -> UUID:
        """Whose claim it is."""
        return self.undo_id or self.execution_id

    def trigger(
        self, kind: type[record_lock.LockEvent], metadata: Metadata, **fields: object
    ) -> Event:
        """Make the next event of the lock."""
        return self.lock.trigger(
            kind, metadata, execution_id=self.execution_id, undo_id=self.undo_id, **fields
        )


class Decision(NamedTuple):
    """What came of a claim: the batches as they are now, and what is to be appended before and after them."""

    cuts: list[Cut]
    before: list[Event]
    after: list[Event]
    waits: bool = False


def claim_of(
    transaction: Transaction,
    table: Table,
    reference: str,
    execution_id: UUID,
    *,
    fresh: bool,
    after: int = 0,
) -> Claim:
    """Begin the claim of an execution, where its lock stands; a ``fresh`` one cannot have any."""
    lock, place = RecordLock.new(record_lock_id(execution_id)), None
    row = None if fresh else transaction.execute(SQL["lock"], {"owner": execution_id}).fetchone()
    if row is not None:
        lock = RecordLock(lock.id, row["version"], RecordLockStatus(row["status"]))
        place = row["place"]
    return Claim(table, reference, execution_id, lock, place=place, after=after)


def decide(
    transaction: Transaction,
    claim: Claim,
    cutter: Cutter,
    cuts: Sequence[Cut],
    *,
    policy: OnLocked,
    worker: str,
    metadata: Metadata,
) -> Decision:
    """Take the table's turn, and make the records of these batches the execution's own, as far as they are free.

    Raises RecordsLocked where others have some and the policy is to fail.
    """
    if not cuts:
        return Decision([], [], [])
    found = contenders(transaction, claim)
    if found and policy is OnLocked.FAIL:
        raise refusal(claim, found)
    if found and policy is OnLocked.WAIT:
        awaited = claim.trigger(
            record_lock.Awaited,
            metadata,
            table=claim.reference,
            records=sum(cut.records for cut in cuts),
            waits_for=tuple(each["owner"] for each in found),
        )
        reached("lock.awaited")
        return Decision([], [awaited], [], waits=True)
    if found:
        transaction.cursor.execute(_statement(transaction, claim, "set_apart"), _values(claim))
        cuts = cutter.taken(claim.after)
        reached("lock.set_apart")
    return Decision(
        list(cuts),
        acquired(claim, sum(cut.records for cut in cuts if not cut.locked), metadata),
        [_left_alone(transaction, claim, cut, worker, metadata) for cut in cuts if cut.locked],
    )


def acquired(claim: Claim, records: int, metadata: Metadata) -> list[Event]:
    """Say that so many records are the owner's now; what has none needs no lock."""
    if not records:
        return []
    if claim.lock.status is RecordLockStatus.HELD:
        return [claim.trigger(record_lock.Extended, metadata, records=records)]
    fields = {"table": claim.reference, "records": records, "keys_of": claim.keys_of}
    return [claim.trigger(record_lock.Acquired, metadata, **fields)]


def refuse_locked(transaction: Transaction, claim: Claim) -> None:
    """Take the table's turn. Raises RecordsLocked where others have any of the records."""
    if found := contenders(transaction, claim):
        raise refusal(claim, found)


def contenders(transaction: Transaction, claim: Claim) -> list[dict[str, Any]]:
    """Take the table's turn, and say who has records of a claim: owner, how many, and a few keys."""
    turn = {"relation": claim.table.oid, "table": claim.reference}
    row = transaction.execute(SQL["take_turn"], turn).fetchone()
    reached("lock.turn_taken")
    if row is None or not row["taken"]:
        return []
    transaction.look_again()
    statement = _statement(transaction, claim, "contenders")
    return transaction.cursor.execute(statement, _values(claim)).fetchall()


def refusal(claim: Claim, found: Sequence[dict[str, Any]]) -> RecordsLocked:
    """Make the error that names who has them."""
    return RecordsLocked(
        table=claim.reference,
        owners=tuple(str(each["owner"]) for each in found),
        records=tuple(each["records"] for each in found),
        sample=tuple(key for each in found[:1] for key in each["sample"]),
    )


def _left_alone(
    transaction: Transaction, claim: Claim, cut: Cut, worker: str, metadata: Metadata
) -> Event:
    """End a batch of records that others have, as it begins."""
    tally = Tally(skipped=cut.records)
    return Batch(cut.owner, 1, BatchStatus.PLANNED).trigger(
        batch.Completed,
        metadata,
        execution_id=claim.execution_id,
        number=cut.number,
        tally=tally,
        change_digest=None,
        outcomes_digest=outcomes_digest_of(transaction, cut.owner, tally.behind),
        attempt=1,
        worker=worker,
    )


def _values(claim: Claim) -> dict[str, Any]:
    return {
        "table": claim.reference,
        "owner": claim.owner_id,
        "undo_id": claim.undo_id,
        "keys_of": claim.keys_of or claim.owner_id,
        "place": claim.place,
        "after": claim.after,
        "most": MOST_OWNERS,
    }


def _statement(transaction: Transaction, claim: Claim, block: str) -> sql.Composed:
    key = claim.table.key
    names = numbered("k", len(key))
    order, arrays = listed(names), numbered("a", len(key))
    claimed = transaction.compose(SQL["claimed"])
    contested = transaction.compose(
        SQL["contested"],
        claimed=claimed,
        overlap=_overlap(key),
        names=order,
        keys=listed(
            sql.SQL("{} AS {}").format(value(column, name), name)
            for column, name in zip(key, names, strict=True)
        ),
        arrays=listed(unnested("s.keys", key)),
    )
    return transaction.compose(
        SQL[block],
        contested=contested,
        names=order,
        texts=listed(sql.SQL("{}::text").format(name) for name in names),
        gathered=listed(
            sql.SQL("array_agg({} ORDER BY {}) AS {}").format(element(column, name), order, array)
            for column, name, array in zip(key, names, arrays, strict=True)
        ),
        whole=array_of([sql.SQL("{}::text").format(array) for array in arrays]),
    )


def _overlap(key: Sequence[Column]) -> sql.Composable:
    """Say whether the ranges of two key sets overlap, by as much of the key as has one order wherever it was cut."""
    ordered = list(takewhile(lambda column: column.plain_type in ORDERED, key))
    if not ordered:
        return sql.SQL("true")

    def bound(relation: str, field: str) -> sql.Composable:
        return listed(
            sql.SQL("{}[{}]::{}").format(
                sql.Identifier(relation, field), sql.Literal(n), column.plain_type_sql
            )
            for n, column in enumerate(ordered, 1)
        )

    return sql.SQL("({}) <= ({}) AND ({}) <= ({})").format(
        *(bound("own", "first_key"), bound("other", "last_key")),
        *(bound("other", "first_key"), bound("own", "last_key")),
    )
