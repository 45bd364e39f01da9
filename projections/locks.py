"""The view of record locks: those that are held, and those that somebody waits for. Runs inline.

A row goes when its owner has ended or the lock was broken; what was is in the events.
"""

from typing import ClassVar

from action_ledger.domain import record_lock
from action_ledger.domain.record_lock import RecordLockStatus

from .projection import Recorded
from .rows import Rows

TABLE = "locks"


class Locks:
    """One row an owner."""

    name: ClassVar[str] = "locks"
    tables: ClassVar[dict[str, str]] = {TABLE: "owner_id"}

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        event = recorded.event
        match event:
            case record_lock.Awaited():
                _stand(rows, recorded, event, RecordLockStatus.WAITING, event.waits_for)
            case record_lock.Acquired():
                _stand(rows, recorded, event, RecordLockStatus.HELD, ())
            case record_lock.Extended():
                rows.patch(TABLE, event.owner_id, version=event.originator_version)
                rows.add(TABLE, event.owner_id, records=event.records)
            case record_lock.Released() | record_lock.Broken():
                rows.drop(TABLE, event.owner_id)
            case _:
                pass


def _stand(
    rows: Rows,
    recorded: Recorded,
    event: record_lock.Awaited | record_lock.Acquired,
    status: RecordLockStatus,
    waits_for: tuple[object, ...],
) -> None:
    now = {
        "version": event.originator_version,
        "status": status,
        "records": event.records,
        "waits_for": waits_for,
        "since": recorded.recorded_at,
    }
    if event.originator_version > 1:
        # It keeps the place that it had when it began to wait.
        rows.patch(TABLE, event.owner_id, **now)
        return
    keys_of = event.keys_of if isinstance(event, record_lock.Acquired) else None
    first = {
        "execution_id": event.execution_id,
        "undo_id": event.undo_id,
        "keys_of": keys_of or event.owner_id,
        "table_name": event.table,
        "actor": event.metadata.actor,
        "place": recorded.position,
    }
    rows.put(TABLE, event.owner_id, {**now, **first})
