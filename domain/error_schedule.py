"""Errors of schedules: rules that cannot be, and steps that a schedule's state does not allow. See ``errors``."""

# as in errors.py

from datetime import datetime
from uuid import UUID

from typing_extensions import override

from .error_invalid import InvalidCommand
from .error_root import Refused


class InvalidSchedule(
    InvalidCommand,
    code="invalid_schedule",
    hint='Say when by a time ("2027-03-01 02:00") or a cron expression ("0 2 * * *"), and a zone (Europe/Paris).',
):
    """The schedule cannot be used: {detail}."""

    detail: str


class InvalidCron(
    InvalidCommand,
    code="invalid_cron",
    hint='The fields are minute, hour, day, month and weekday: "30 2 * * MON-FRI".',
):
    """The cron expression {expression} cannot be used: {detail}."""

    expression: str
    detail: str


class UnknownTimeZone(InvalidCommand, code="unknown_time_zone"):
    """There is no time zone {timezone}."""

    timezone: str
    suggestions: tuple[str, ...] = ()

    @property
    @override
    def advice(self) -> str:
        """Name the zones that look like it."""
        return (
            f"Did you mean {' or '.join(self.suggestions)}?"
            if self.suggestions
            else "Use a name of the IANA database, such as Europe/Paris or UTC."
        )


class TimeInPast(InvalidCommand, code="time_in_past", hint="Give a later time, or run it at once."):
    """The time {at} is past: by the clock of the database it is {now}."""

    at: datetime
    now: datetime


class TimeTooFar(
    InvalidCommand,
    code="time_too_far",
    hint="ACTION_LEDGER_SCHEDULE_MAX_DAYS_AHEAD sets the limit.",
):
    """The time {at} is more than {days} days ahead."""

    at: datetime
    days: int


class ScheduleNotFound(
    Refused,
    code="schedule_not_found",
    hint="List them with `action-ledger schedules list`.",
):
    """There is no schedule {schedule_id}."""

    schedule_id: UUID | str


class ScheduleClosed(
    Refused,
    code="schedule_closed",
    hint="Look at it with `action-ledger schedules show`.",
):
    """Schedule {schedule_id} is {status}, and this cannot be done now: {wanted}."""

    schedule_id: UUID | str
    status: str
    wanted: str
