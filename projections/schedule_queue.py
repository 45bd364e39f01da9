"""The schedule queue: one row for every schedule that has not ended. Runs inline.

A row's lock is the lease of the one who fires or steers the schedule, so this view is never switched to another
generation; and a row holds all that is needed to decide, so that nobody decides on a view that was switched.
"""

from typing import Any, ClassVar

from action_ledger.domain import schedule
from action_ledger.domain.schedule import ScheduleStatus

from .projection import Recorded
from .rows import Rows

TABLE = "schedule_queue"
_TRIED_ANEW = {"attempts": 0, "available_at": "-infinity", "last_error": None}


class ScheduleQueue:
    """Open schedules, with what is due next."""

    name: ClassVar[str] = "schedule_queue"
    tables: ClassVar[dict[str, str]] = {TABLE: "schedule_id"}

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        event = recorded.event
        match event:
            case schedule.Created():
                rows.put(TABLE, event.originator_id, _row(event))
            case schedule.Rescheduled():
                self._patch(
                    rows,
                    recorded,
                    at_time=event.at,
                    cron=event.cron,
                    timezone=event.timezone,
                    due_at=event.due_at,
                    **_TRIED_ANEW,
                )
            case schedule.Paused():
                self._patch(rows, recorded, status=ScheduleStatus.PAUSED)
            case schedule.Resumed():
                self._patch(
                    rows, recorded, status=ScheduleStatus.ACTIVE, due_at=event.due_at, **_TRIED_ANEW
                )
            case schedule.Fired() | schedule.Missed() | schedule.FailedToFire():
                self._patch(rows, recorded, due_at=event.due_at, **_TRIED_ANEW)
            case schedule.Cancelled() | schedule.Ended():
                rows.drop(TABLE, event.originator_id)
            case _:
                pass

    @staticmethod
    def _patch(rows: Rows, recorded: Recorded, **values: Any) -> None:  # noqa: ANN401
        event = recorded.event
        rows.patch(TABLE, event.originator_id, version=event.originator_version, **values)


def _row(event: schedule.Created) -> dict[str, Any]:
    return {
        "version": event.originator_version,
        "status": ScheduleStatus.ACTIVE,
        "due_at": event.due_at,
        "at_time": event.at,
        "cron": event.cron,
        "timezone": event.timezone,
        "catch_up": event.catch_up,
        "frozen": event.records is not None,
        "actor": event.metadata.actor,
        "correlation_id": event.metadata.correlation_id,
        **_TRIED_ANEW,
    }
