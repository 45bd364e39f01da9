"""The split: gives the keys of a batch to smaller ones of the same number, which take its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from psycopg import Error
from uuid_utils.compat import uuid7

from action_ledger.domain import batch
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.event import Event
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .claim import Unit
from .close import require_open
from .cutter import Cut
from .meter import count_retry, count_split
from .steps import reached

SQL = read_blocks("action_ledger.workers", "pace.sql")

Reason = Literal["pace", "rate", "timed_out", "deadlock", "too_large"]

MOST_PARTS = 100
"""Of one split; where more are wanted, the parts are split again when their turn comes."""


@dataclass(frozen=True, slots=True)
class Retry:
    """After which fault the parts are tried, and how many seconds later at most."""

    error: str
    error_type: str
    longest: float


class SplitInstead(Exception):  # noqa: N818 - it says what is to be done
    """The batch met a fault that smaller ones may not meet; ``cause`` is the driver's error."""

    def __init__(self, reason: Reason, cause: Error) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.cause = cause


def split_batch(
    transaction: Transaction, unit: Unit, *, size: int, reason: Reason, retry: Retry | None = None
) -> None:
    """Split a batch into parts of at most ``size`` records, or into as many as one split makes.

    The transaction holds the batch's queue row. Nothing comes to an end by this, so there is nothing to settle.
    Raises ExecutionClosed.
    """
    number = max(2, min(-(-unit.records // size), MOST_PARTS))
    parts = _parts(transaction, unit, number)
    reached("batch.cut")
    require_open(transaction, unit.execution_id)
    transaction.append(*_events(unit, parts, reason))
    count_split(transaction, reason)
    if retry is not None:
        values = {"error": retry.error, "longest": retry.longest}
        count_retry(transaction, retry.error_type)
        transaction.execute(SQL["put_off"], {"parts": [part.owner for part in parts], **values})
    reached("batch.split")


def _parts(transaction: Transaction, unit: Unit, number: int) -> list[Cut]:
    """Cut the key set into parts of about the same size, with ids that are in key order."""
    size = -(-unit.records // number)
    ids = sorted(uuid7() for _ in range(-(-unit.records // size)))
    rows = transaction.execute(
        SQL["split"], {"batch_id": unit.batch_id, "parts": ids, "size": size}
    ).fetchall()
    cuts = [Cut(row["owner"], row["number"], row["records"], row["digest"]) for row in rows]
    return sorted(cuts, key=lambda cut: cut.owner)


def _events(unit: Unit, parts: Sequence[Cut], reason: Reason) -> list[Event]:
    batch_id, version = batch_of(unit)
    return [
        Batch(batch_id, version, BatchStatus.PLANNED).trigger(
            batch.Split,
            unit.metadata,
            execution_id=unit.execution_id,
            number=unit.number,
            records=unit.records,
            parts=tuple(part.owner for part in parts),
            reason=reason,
        ),
        *(
            Batch.new(part.owner).trigger(
                batch.Planned,
                unit.metadata,
                execution_id=unit.execution_id,
                number=part.number,
                table=unit.table_name,
                records=part.records,
                keys_digest=part.digest,
                split_from=batch_id,
            )
            for part in parts
        ),
    ]


def batch_of(unit: Unit) -> tuple[UUID, int]:
    """Give the batch of a unit, and the version that its stream is at."""
    if unit.batch_id is None or unit.batch_version is None:
        message = f"unit {unit.unit_id} of kind {unit.kind} has no batch"
        raise AssertionError(message)
    return unit.batch_id, unit.batch_version
