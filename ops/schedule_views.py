"""Reads of schedules: each as it stands, its runs, and what is due next."""

import heapq
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.errors import InvalidValue, ScheduleNotFound, shown
from action_ledger.domain.rule import local_time, rule_from
from action_ledger.domain.schedule import ScheduleStatus
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

SQL = read_blocks("action_ledger.ops", "schedules.sql")


class ScheduleView(BaseModel):
    """One schedule. ``due_at`` is its next occurrence, by the clocks of its zone; None when there is none."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    status: str
    action: str
    table: str
    actor: str
    selection: str
    records: int | None
    """Of a frozen selection; None where it is evaluated at each occurrence."""
    at: datetime | None
    cron: str | None
    timezone: str
    catch_up: str
    due_at: datetime | None
    fired: int
    missed: int
    failed: int
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the view."""
        apart = {"id", "table", "at", "due_at"}
        names = cls.model_fields.keys() - apart
        return cls(
            id=row["schedule_id"],
            table=row["table_name"],
            at=_local(row, "at_time"),
            due_at=_local(row, "due_at"),
            **{name: row[name] for name in names},
        )


class ScheduleRun(BaseModel):
    """What became of an occurrence: fired, failed (refused at its time), or missed, then perhaps several.

    ``status`` is that of the execution; the counts are those of its records.
    """

    model_config = ConfigDict(frozen=True)

    outcome: str
    occurrence: datetime
    last_occurrence: datetime
    occurrences: int
    manual: bool
    execution_id: UUID | None
    status: str | None
    applied: int | None
    failed: int | None
    skipped: int | None
    pending: int | None
    error: str | None
    recorded_at: datetime

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the view."""
        names = cls.model_fields.keys() - {"status", "error"}
        return cls(
            status=row["execution_status"],
            error=row["error"] or row["execution_error"],
            **{name: row[name] for name in names},
        )


class Upcoming(BaseModel):
    """One occurrence that is due: when, by the clocks of its zone and in UTC, and of what."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    local: datetime
    timezone: str
    schedule_id: UUID
    action: str
    table: str


def schedule_id_of(schedule_id: UUID | str) -> UUID:
    """Read an id. Raises ScheduleNotFound for what cannot be one."""
    try:
        return UUID(str(schedule_id))
    except ValueError as error:
        raise ScheduleNotFound(schedule_id=shown(schedule_id)) from error


def read_schedule(store: Store, schedule_id: UUID) -> ScheduleView:
    """Read one. Raises ScheduleNotFound."""
    with store.transaction() as transaction:
        row = transaction.execute(SQL["schedule"], {"id": schedule_id}).fetchone()
    if row is None:
        raise ScheduleNotFound(schedule_id=schedule_id)
    return ScheduleView.of(row)


def read_schedules(store: Store, *, status: str | None, limit: int) -> list[ScheduleView]:
    """Read schedules, the newest first."""
    check_limit(limit)
    if status is not None and status not in set(ScheduleStatus):
        detail = f"the states of a schedule are {', '.join(ScheduleStatus)}"
        raise InvalidValue(value=shown(status), detail=detail)
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["schedules"], {"status": status, "limit": limit}).fetchall()
    return [ScheduleView.of(row) for row in rows]


def read_runs(store: Store, schedule_id: UUID, *, limit: int) -> list[ScheduleRun]:
    """Read what became of a schedule's occurrences, the newest first. Raises ScheduleNotFound."""
    check_limit(limit)
    with store.transaction() as transaction:
        if transaction.execute(SQL["schedule"], {"id": schedule_id}).fetchone() is None:
            raise ScheduleNotFound(schedule_id=schedule_id)
        rows = transaction.execute(SQL["runs"], {"id": schedule_id, "limit": limit}).fetchall()
    return [ScheduleRun.of(row) for row in rows]


def read_upcoming(store: Store, *, limit: int, schedule_id: UUID | None = None) -> list[Upcoming]:
    """Say what is due next, of one schedule or of all, in the order of time. What is overdue comes first."""
    check_limit(limit)
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["next_due"], {"id": schedule_id, "limit": limit}).fetchall()
    merged = heapq.merge(*map(_occurrences, rows), key=lambda one: (one.at, one.schedule_id))
    return list(islice(merged, limit))


def _occurrences(row: dict[str, Any]) -> Iterator[Upcoming]:
    """Give a schedule's next occurrences: the one that is due, and those after the database's now."""
    rule = rule_from(at=row["at_time"], cron=row["cron"], timezone=row["timezone"])
    due: datetime = row["due_at"]
    for moment in chain([due], rule.after(max(due, row["now"]))):
        yield Upcoming(
            at=moment,
            local=local_time(moment, row["timezone"]),
            timezone=row["timezone"],
            schedule_id=row["schedule_id"],
            action=row["action"],
            table=row["table_name"],
        )


def _local(row: dict[str, Any], name: str) -> datetime | None:
    moment: datetime | None = row[name]
    return None if moment is None else local_time(moment, row["timezone"])


def check_limit(limit: int) -> None:
    """Raise InvalidValue for a number of rows that cannot be."""
    if limit < 0:
        raise InvalidValue(value=shown(limit), detail="a limit must be 0 or more")
