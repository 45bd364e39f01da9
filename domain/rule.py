"""When a schedule is due: once at a time, or by a cron expression in a time zone. Pure: the time is always given.

A local time that the clocks skip is due at the first minute after the gap, and one that they show twice is due
the first time: once either way. A cron expression whose minute or hour begins with ``*`` follows the hours as they
pass, as Debian's cron has it: nothing in an hour that is skipped, again in one that is repeated.
"""

from __future__ import annotations

from collections import deque
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from .errors import InvalidCron, InvalidSchedule, UnknownTimeZone, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = 5
MINUTE = timedelta(minutes=1)
_ZONE_MISSING = "a time zone is needed, such as Europe/Paris or UTC: say it with timezone"
_OF_THE_MACHINE = frozenset({"localtime", "posixrules", "Factory"})
"""Names that some machines have in their database, each with another meaning."""

ShortText = Annotated[str, StringConstraints(max_length=200)]


class At(BaseModel):
    """Once. A time without an offset is a local one and needs the zone; with one, the zone is for showing it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["at"] = "at"
    at: datetime
    timezone: ShortText | None = None

    @field_validator("at")
    @classmethod
    def _shown_anywhere(cls, at: datetime) -> datetime:
        if at.year in {MINYEAR, MAXYEAR}:
            message = "no zone may be beyond the calendar: give a year in between"
            raise ValueError(message)
        return at

    def check(self) -> None:
        """Raise what is wrong with it."""
        self.moment()

    def moment(self) -> datetime:
        """Give the instant, in UTC. Raises UnknownTimeZone, and InvalidSchedule for a local time of no zone."""
        if self.at.tzinfo is not None:
            zone_of(self.zone)
            return self.at.astimezone(UTC)
        if self.timezone is None:
            raise InvalidSchedule(detail=_ZONE_MISSING)
        return _instant(self.at, zone_of(self.timezone))

    @property
    def skipped(self) -> bool:
        """Whether it is a local time that the clocks of its zone never show, so that it is due after the gap.

        Raises UnknownTimeZone.
        """
        local = self.at.tzinfo is None and self.timezone is not None
        return local and _is_skipped(self.at.replace(tzinfo=zone_of(self.zone)))

    @property
    def zone(self) -> str:
        """The zone in which it is shown."""
        return self.timezone or "UTC"

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Give the occurrences after a moment: the one, or none."""
        due = self.moment()
        if due > moment:
            yield due


class Cron(BaseModel):
    """Again and again: five fields, as cron has them, in a time zone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cron"] = "cron"
    cron: ShortText
    timezone: ShortText | None = None

    def check(self) -> None:
        """Raise UnknownTimeZone, InvalidCron, or InvalidSchedule where no zone is named."""
        if self.timezone is None:
            raise InvalidSchedule(detail=_ZONE_MISSING)
        zone_of(self.timezone)
        parts = len(self.cron.split())
        if parts != FIELDS:
            detail = (
                f"it takes five fields (minute, hour, day, month, weekday), and this has {parts}"
            )
            raise InvalidCron(expression=shown(self.cron), detail=detail)
        self._iterator(datetime(2000, 1, 1, tzinfo=UTC))

    @property
    def zone(self) -> str:
        """The zone in which its fields are read."""
        return self.timezone or "UTC"

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Give the occurrences after a moment, in UTC, each later than the one before."""
        for local in self._iterator(moment):
            found = local.astimezone(UTC)
            # In an hour that is shown twice, the first 02:30 is behind whoever asks during the second.
            if found > moment:
                moment = found
                yield found

    def _iterator(self, moment: datetime) -> CronSim:
        try:
            return CronSim(self.cron, moment.astimezone(zone_of(self.zone)))
        except (CronSimError, AssertionError, TypeError, ValueError) as error:
            detail = str(error) or "it cannot be read"
            raise InvalidCron(expression=shown(self.cron), detail=detail) from error


Rule = Annotated[At | Cron, Field(discriminator="kind")]


def rule_from(*, at: datetime | None, cron: str | None, timezone: str) -> At | Cron:
    """Make a rule of what an event or a row says of it."""
    if cron is not None:
        return Cron(cron=cron, timezone=timezone)
    if at is None:
        message = "a rule is either a time or a cron expression"
        raise ValueError(message)
    return At(at=at, timezone=timezone)


def next_after(rule: At | Cron, moment: datetime) -> datetime | None:
    """Give the first occurrence after a moment; None when there is none, or none in fifty years."""
    return next(rule.after(moment), None)


def occurrences(rule: At | Cron, due: datetime, until: datetime) -> Iterator[datetime]:
    """Give the occurrences from the one that is due up to a moment, oldest first."""
    if due > until:
        return
    yield due
    for moment in rule.after(due):
        if moment > until:
            return
        yield moment


def newest_occurrences(
    rule: At | Cron, due: datetime, until: datetime, count: int
) -> list[datetime]:
    """Give the last so many occurrences from the one that is due up to a moment, oldest first.

    It looks back in windows that grow, so that a year of minutes costs no more than an hour of them.
    """
    window = timedelta(hours=1)
    while until - window > due:
        start = until - window
        found = deque(_between(rule, start, until), maxlen=count)
        if len(found) == count:
            return list(found)
        window *= 8
    return list(deque(occurrences(rule, due, until), maxlen=count))


def _between(rule: At | Cron, after: datetime, until: datetime) -> Iterator[datetime]:
    for moment in rule.after(after):
        if moment > until:
            return
        yield moment


def local_time(moment: datetime, timezone: str) -> datetime:
    """Give a moment by the clocks of a zone."""
    return moment.astimezone(zone_of(timezone))


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """Find a zone of the IANA database. Raises UnknownTimeZone, which names those that look like it."""
    try:
        return ZoneInfo("" if name in _OF_THE_MACHINE else name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        close = get_close_matches(name, available_timezones() - _OF_THE_MACHINE, n=3)
        raise UnknownTimeZone(timezone=name, suggestions=tuple(close)) from error


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """Give the instant of a local time: the first of two, or the first minute after a gap that it falls into."""
    moment = local.replace(tzinfo=zone)
    if _is_skipped(moment):
        moment = moment.replace(second=0, microsecond=0, fold=0)
        while _is_skipped(moment):
            moment += MINUTE
    return moment.astimezone(UTC)


def _is_skipped(moment: datetime) -> bool:
    """Say whether the clocks never show a local time: it comes back from UTC as another."""
    back = moment.astimezone(UTC).astimezone(moment.tzinfo)
    return back.replace(tzinfo=None) != moment.replace(tzinfo=None)
