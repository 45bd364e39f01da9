"""The transaction of a preview, of a run or of an undo: within bounds, of short patience, and rolled back."""

from collections.abc import Generator
from contextlib import contextmanager

from psycopg.errors import LockNotAvailable

from action_ledger.domain.errors import InvalidValue, PreviewBlocked, shown
from action_ledger.projections.store import Store, Transaction

from .patience import wait_at_most
from .previewed import PreviewLimits


@contextmanager
def rehearse(store: Store, limits: PreviewLimits, *, sample: int) -> Generator[Transaction]:
    """Do as in a transaction, and roll back at the end. Raises InvalidValue for fewer than 0 records."""
    for number in (sample, limits.records):
        if number < 0:
            detail = "0 records or more can be shown, or tried"
            raise InvalidValue(value=shown(number), detail=detail)
    with store.rehearsal(silence=limits.silence, limit=limits.statement_seconds) as transaction:
        wait_at_most(transaction, limits.lock_timeout_ms)
        yield transaction


@contextmanager
def planning_of(subject: str) -> Generator[None]:
    """Raise PreviewBlocked, which names the subject, where the plan cannot be made for a lock that others hold."""
    try:
        yield
    except LockNotAvailable as error:
        detail = "somebody has locked the whole table"
        raise PreviewBlocked(table=subject, detail=detail) from error
