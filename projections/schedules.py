"""The view of schedules: each as it stands, and what became of its occurrences. Runs inline."""

from datetime import datetime
from typing import Any, ClassVar

from action_ledger.domain import schedule
from action_ledger.domain.schedule import ScheduleStatus

from .projection import Recorded
from .rows import Rows

SCHEDULES = "schedules"
RUNS = "schedule_runs"


class Schedules:
    """Rules, states, counts and times; and a row for every run, every refusal and every row of missed runs."""

    name: ClassVar[str] = "schedules"
    tables: ClassVar[dict[str, str]] = {SCHEDULES: "schedule_id", RUNS: "position"}

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        at, event = recorded.recorded_at, recorded.event
        match event:
            case schedule.Created():
                rows.put(SCHEDULES, event.originator_id, _schedule_row(event, at))
            case schedule.Rescheduled():
                _patch(
                    rows,
                    recorded,
                    at_time=event.at,
                    cron=event.cron,
                    timezone=event.timezone,
                    due_at=event.due_at,
                )
            case schedule.Paused():
                _patch(rows, recorded, status=ScheduleStatus.PAUSED)
            case schedule.Resumed():
                _patch(rows, recorded, status=ScheduleStatus.ACTIVE, due_at=event.due_at)
            case schedule.Fired():
                _patch(rows, recorded, due_at=event.due_at)
                rows.add(SCHEDULES, event.originator_id, fired=1)
                rows.put(RUNS, recorded.position, _fired_row(event, at))
            case schedule.Missed():
                _patch(rows, recorded, due_at=event.due_at)
                rows.add(SCHEDULES, event.originator_id, missed=event.count)
                rows.put(RUNS, recorded.position, _missed_row(event, at))
            case schedule.FailedToFire():
                _patch(rows, recorded, due_at=event.due_at, last_error=event.error)
                rows.add(SCHEDULES, event.originator_id, failed=1)
                rows.put(RUNS, recorded.position, _failed_row(event, at))
            case schedule.Cancelled():
                _patch(rows, recorded, status=ScheduleStatus.CANCELLED, due_at=None, ended_at=at)
            case schedule.Ended():
                _patch(rows, recorded, status=ScheduleStatus.ENDED, due_at=None, ended_at=at)
            case _:
                pass


def _patch(rows: Rows, recorded: Recorded, **values: Any) -> None:  # noqa: ANN401
    event = recorded.event
    rows.patch(
        SCHEDULES,
        event.originator_id,
        version=event.originator_version,
        updated_at=recorded.recorded_at,
        **values,
    )


def _schedule_row(event: schedule.Created, at: datetime) -> dict[str, Any]:
    return {
        "status": ScheduleStatus.ACTIVE,
        "version": event.originator_version,
        "action": event.action,
        "table_name": event.table,
        "selection": event.selection,
        "records": event.records,
        "actor": event.metadata.actor,
        "correlation_id": event.metadata.correlation_id,
        "queue": event.queue,
        "priority": event.priority,
        "at_time": event.at,
        "cron": event.cron,
        "timezone": event.timezone,
        "catch_up": event.catch_up,
        "due_at": event.due_at,
        "fired": 0,
        "missed": 0,
        "failed": 0,
        "last_error": None,
        "created_at": at,
        "updated_at": at,
        "ended_at": None,
    }


def _fired_row(event: schedule.Fired, at: datetime) -> dict[str, Any]:
    return _run_row(
        event,
        at,
        outcome="fired",
        occurrence=event.occurrence,
        execution_id=event.execution_id,
        manual=event.manual,
    )


def _missed_row(event: schedule.Missed, at: datetime) -> dict[str, Any]:
    row = _run_row(event, at, outcome="missed", occurrence=event.first)
    return {**row, "last_occurrence": event.last, "occurrences": event.count}


def _failed_row(event: schedule.FailedToFire, at: datetime) -> dict[str, Any]:
    return _run_row(event, at, outcome="failed", occurrence=event.occurrence, error=event.error)


def _run_row(
    event: schedule.Due,
    at: datetime,
    *,
    outcome: str,
    occurrence: datetime,
    **values: Any,  # noqa: ANN401
) -> dict[str, Any]:
    return {
        "schedule_id": event.originator_id,
        "outcome": outcome,
        "occurrence": occurrence,
        "last_occurrence": occurrence,
        "occurrences": 1,
        "execution_id": None,
        "manual": False,
        "error": None,
        "recorded_at": at,
        **values,
    }
