"""Retries that stand: what one of them has done is not done once more by another of the same records."""

from uuid import UUID

from action_ledger.domain.errors import AlreadyRetried
from action_ledger.domain.selection import Selection, Unfinished
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

SQL = read_blocks("action_ledger.workers", "retried.sql")


def standing_retry(
    transaction: Transaction,
    execution_id: UUID,
    *,
    failed: bool,
    not_processed: bool,
    but: UUID | None = None,
) -> UUID | None:
    """Give the newest retry of what failed, or was not processed, of which something stands that was not undone.

    One that has done nothing is none, nor is ``but``.
    """
    values = {"of": execution_id, "failed": failed, "not_processed": not_processed, "but": but}
    row = transaction.execute(SQL["standing_retry"], values).fetchone()
    return None if row is None else row["execution_id"]


def require_first(
    transaction: Transaction, selection: Selection, *, but: UUID | None = None
) -> None:
    """Refuse to try the same records again beside a retry that stands. Raises AlreadyRetried.

    Who asks once the records are his own (``but`` himself) misses nobody: another has done with them before, or never had them.
    """
    if not isinstance(selection, Unfinished):
        return
    of, failed, not_processed = selection.of, selection.failed, selection.not_processed
    found = standing_retry(transaction, of, failed=failed, not_processed=not_processed, but=but)
    if found is not None:
        raise AlreadyRetried(execution_id=of, retry_id=found)
