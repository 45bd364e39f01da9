"""What was kept of a unit with an effect: counted, and listed where the outcomes of all actions are listed."""

from typing import NamedTuple
from uuid import UUID

from action_ledger.domain.event import Tally
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .slices import outcomes_digest_of

SQL = read_blocks("action_ledger.workers", "effects.sql")


class Kept(NamedTuple):
    """What was kept of a unit, for the event that ends it."""

    tally: Tally
    outcomes_digest: str | None
    effects_digest: str | None


def summarise(
    transaction: Transaction,
    *,
    owner: UUID,
    batch_id: UUID,
    execution_id: UUID,
    undo_id: UUID | None,
) -> Kept:
    """List the records that failed or were skipped, and count all."""
    values = {
        "owner": owner,
        "batch_id": batch_id,
        "execution_id": execution_id,
        "undo_id": undo_id,
    }
    transaction.execute(SQL["list_outcomes"], values)
    tally, digest = _count(transaction, owner)
    return Kept(tally, outcomes_digest_of(transaction, owner, tally.behind), digest)


def _count(transaction: Transaction, owner: UUID) -> tuple[Tally, str | None]:
    """Count what was kept of an owner, and give the digest over it; None when there is nothing."""
    row = transaction.execute(SQL["summary"], {"owner": owner}).fetchone()
    if row is None:
        message = "an aggregate gives one row"
        raise AssertionError(message)
    tally = Tally(applied=row["applied"], failed=row["failed"], skipped=row["skipped"])
    return tally, row["digest"] if tally.processed else None
