"""How locks end: with their owner, or broken by somebody. Under the append lock, from rows of the inline views."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from action_ledger.domain import record_lock
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.record_lock import RecordLock, RecordLockStatus, record_lock_id
from action_ledger.projections.store import Transaction

from .locks import SQL
from .steps import reached

BROKEN = "lock_broken"
"""The error of an execution whose lock was broken."""


def released(
    transaction: Transaction,
    row: Mapping[str, Any],
    metadata: Metadata,
    *,
    undo_id: UUID | None = None,
) -> list[Event]:
    """Say that the owner's lock ends with it, if it has one; ``row`` is the owner's, with its lock."""
    lock = lock_in(row, undo_id or row["execution_id"])
    if lock is None:
        return []
    if lock.status is RecordLockStatus.WAITING:
        # It has no batch, so nothing else speaks of what it had cut.
        transaction.execute(SQL["forget_claim"], {"execution_id": row["execution_id"]})
    reached("lock.released")
    return [
        lock.trigger(
            record_lock.Released, metadata, execution_id=row["execution_id"], undo_id=undo_id
        )
    ]


def lock_in(row: Mapping[str, Any], owner_id: UUID) -> RecordLock | None:
    """Give the lock that an owner's row tells of."""
    if row["lock_version"] is None:
        return None
    status = RecordLockStatus(row["lock_status"])
    return RecordLock(record_lock_id(owner_id), row["lock_version"], status)
