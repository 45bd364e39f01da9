"""What the database said, in the ledger's words: the one place where errors of the driver become errors of the tree."""

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg.errors import InsufficientPrivilege

from action_ledger.domain.errors import (
    ActionLedgerError,
    CommandTimedOut,
    DatabaseRefused,
    PermissionDenied,
    StoreUnavailable,
)
from action_ledger.workers.faults import Scope, message_of, scope_of


def translated(error: psycopg.Error, *, seconds: float | None = None) -> ActionLedgerError:
    """Give our error for a driver's. ``seconds`` is how long it was tried again, where it was."""
    if isinstance(error, InsufficientPrivilege):
        return PermissionDenied(detail=message_of(error))
    if scope_of(error) is Scope.PASSING:
        if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
            return StoreUnavailable(reason=message_of(error))
        if seconds is not None:
            return CommandTimedOut(seconds=round(seconds, 1), detail=message_of(error))
    return DatabaseRefused(sqlstate=error.sqlstate or "", detail=message_of(error))


@contextmanager
def rights_named(needed: str) -> Generator[None]:
    """Where a right is missing, raise PermissionDenied with what would give it."""
    try:
        yield
    except InsufficientPrivilege as error:
        raise PermissionDenied(detail=message_of(error), needed=needed) from error
