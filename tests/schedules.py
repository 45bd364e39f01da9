"""What tests of schedules share: a schedule that has been due for a while, as after a time without workers."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.schedule import Rescheduled, Schedule, ScheduleStatus
from action_ledger.ops.builder import Request
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.ops.ledger import Ledger
from action_ledger.ops.schedule_handles import ScheduleHandle
from action_ledger.projections.sql_blocks import trusted
from tests.events import METADATA

HOURLY = "0 * * * *"
EDGE = 20
"""Seconds before the end of an hour in which no test begins: it would meet one more occurrence than it expects."""


def add_one(ledger: Ledger, table: str = "places") -> Request:
    """Add 1 to the score of every place."""
    return ledger.on(table).all().update(score=col("score") + 1).by("user:1")


def hourly(ledger: Ledger, table: str = "places", *, catch_up: str = "last") -> ScheduleHandle:
    """Schedule that for each full hour."""
    return add_one(ledger, table).schedule(cron=HOURLY, timezone="UTC", catch_up=catch_up)


def database_time(ledger: Ledger) -> datetime:
    """Read the database's clock."""
    with ledger.store.transaction() as transaction:
        row = transaction.execute(trusted("SELECT clock_timestamp() AS now")).fetchone()
    assert row is not None
    now: datetime = row["now"]
    return now


def hours_ago(ledger: Ledger, hours: int) -> datetime:
    """Give the full hour so many hours before the current one."""
    now = database_time(ledger)
    left = 3600 - now.minute * 60 - now.second
    if left < EDGE:
        time.sleep(left + 1)
        now = database_time(ledger)
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)


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


def work(ledger: Ledger) -> None:
    """Fire what is due, and do what is open."""
    scheduler, worker = ledger.scheduler(), ledger.worker()
    while scheduler.step() | worker.step():
        pass


def fire(ledger: Ledger, schedule: ScheduleHandle) -> ExecutionHandle:
    """Let a schedule be due since the last full hour, and work; give the execution that it became."""
    overdue(ledger, schedule.id, hours_ago(ledger, 0))
    work(ledger)
    found = schedule.runs()[0].execution_id
    assert found is not None
    return ledger.execution(found)


def topics(schedule: ScheduleHandle) -> list[str]:
    """Give the story of a schedule, but for the events that tests have written."""
    return [
        one.event.TOPIC.removeprefix("schedule.")
        for one in schedule.events()
        if one.event.metadata.actor != "user:42"
    ]


def score(connection: Connection[DictRow], id_: int = 1) -> int:
    row = connection.execute("SELECT score - id AS n FROM places WHERE id = %s", [id_]).fetchone()
    assert row is not None
    return int(row["n"])


def written(connection: Connection[DictRow]) -> int:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM action_ledger.stored_events)"
        " + (SELECT count(*) FROM action_ledger.request_bodies)"
        " + (SELECT count(*) FROM action_ledger.key_sets)"
        " + (SELECT count(*) FROM action_ledger.schedule_queue) AS n"
    ).fetchone()
    assert row is not None
    return int(row["n"])
