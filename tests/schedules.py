"""What tests of schedules share: a schedule that has been due for a while, as after a time without workers."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from action_ledger.domain.columns import col
from action_ledger.domain.schedule import Rescheduled, Schedule, ScheduleStatus
from action_ledger.ops.builder import Request
from action_ledger.ops.ledger import Ledger
from action_ledger.ops.schedule_handles import ScheduleHandle
from action_ledger.projections.sql_blocks import trusted
from tests.events import METADATA

MINUTELY = "* * * * *"


def add_one(ledger: Ledger, table: str = "places") -> Request:
    """Add 1 to the score of every place."""
    return ledger.on(table).all().update(score=col("score") + 1).by("user:1")


def minutely(ledger: Ledger, table: str = "places", *, catch_up: str = "last") -> ScheduleHandle:
    """Schedule that for each minute."""
    return add_one(ledger, table).schedule(cron=MINUTELY, timezone="UTC", catch_up=catch_up)


def database_time(ledger: Ledger) -> datetime:
    """Read the database's clock."""
    with ledger.store.transaction() as transaction:
        row = transaction.execute(trusted("SELECT clock_timestamp() AS now")).fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


def minutes_ago(ledger: Ledger, minutes: int) -> datetime:
    """Give the whole minute so many minutes before the current one."""
    now = database_time(ledger).astimezone(UTC).replace(second=0, microsecond=0)
    return now - timedelta(minutes=minutes)


def overdue(ledger: Ledger, schedule_id: UUID, due: datetime) -> None:
    """Write the history of a schedule whose next occurrence is past: as if no worker had been up since."""
    with ledger.store.transaction() as transaction:
        row = transaction.execute(
            trusted(
                "SELECT version, status, cron, timezone FROM {schedule_queue} WHERE schedule_id = %(id)s FOR UPDATE"
            ),
            {"id": schedule_id},
        ).fetchone()
        assert row is not None
        stream = Schedule(schedule_id, row["version"], ScheduleStatus(row["status"]))
        transaction.append(
            stream.trigger(
                Rescheduled,
                METADATA,
                at=due if row["cron"] is None else None,
                cron=row["cron"],
                timezone=row["timezone"],
                due_at=due,
            )
        )
