"""The schedule: a command that becomes an execution once, or again and again, when its time comes.

Events carry ``due_at``, the next occurrence after them; None says that there is no further one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID, uuid5

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Digest, Event


class CatchUp(StrEnum):
    """What becomes of occurrences that passed while no worker was up. Those that do not run are recorded."""

    SKIP = "skip"
    """They do not run, but for one that is late by less than the grace."""
    LAST = "last"
    """The newest runs, once for all of them."""
    ALL = "all"
    """Each runs, one after the other; the newest ones, where there are more than a setting says."""


class Due(Event):
    """An event after which another occurrence is due, or none."""

    due_at: datetime | None


class Created(Due):
    """Somebody asked for it.

    The command to run lies apart (``request_bodies``); ``body_digest`` fixes it. A selection that was frozen, or
    given as keys, was cut then: ``keys_digest`` is over the digests of its key sets, in their order.
    """

    TOPIC = "schedule.created"

    at: datetime | None
    cron: str | None
    timezone: str
    catch_up: CatchUp
    action: str
    table: str
    """Schema-qualified, as PostgreSQL would quote it."""
    selection: Literal["where", "keys", "everything"]
    body_digest: Digest
    records: int | None = Field(ge=0)
    """Of the frozen selection; None where the selection is evaluated at each occurrence."""
    keys_digest: Digest | None
    queue: str
    priority: int


class Rescheduled(Due):
    """Its rule is another from here on."""

    TOPIC = "schedule.rescheduled"

    at: datetime | None
    cron: str | None
    timezone: str


class Paused(Event):
    """It rests. What falls due meanwhile does not run before it is resumed."""

    TOPIC = "schedule.paused"


class Resumed(Due):
    """It goes on. What fell due meanwhile is told by a Missed that follows, or caught up with."""

    TOPIC = "schedule.resumed"


class Cancelled(Event):
    """Somebody ended it."""

    TOPIC = "schedule.cancelled"


class Fired(Due):
    """An occurrence became an execution. ``manual`` says that somebody asked for it out of turn."""

    TOPIC = "schedule.fired"

    occurrence: datetime
    execution_id: UUID
    manual: bool


class Missed(Due):
    """Occurrences passed without a run, as the catch-up policy has it. ``count`` stops at 10,000."""

    TOPIC = "schedule.missed"

    first: datetime
    last: datetime
    count: int = Field(ge=1)


class FailedToFire(Due):
    """An occurrence was refused when its time came. The schedule goes on with the next.

    ``error`` is a stable code of the error tree, or an SQLSTATE.
    """

    TOPIC = "schedule.failed_to_fire"

    occurrence: datetime
    error: str


class Ended(Event):
    """There is no further occurrence."""

    TOPIC = "schedule.ended"


class ScheduleStatus(StrEnum):
    """Where a schedule stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    ENDED = "ended"

    @property
    def closed(self) -> bool:
        """Nothing of it will ever run again."""
        return self in {ScheduleStatus.CANCELLED, ScheduleStatus.ENDED}


def occurrence_id(schedule_id: UUID, occurrence: datetime) -> UUID:
    """Name the execution of an occurrence: the same whoever fires it, so that it cannot be there twice."""
    return uuid5(schedule_id, occurrence.astimezone(UTC).isoformat())


def extra_id(schedule_id: UUID, command_id: UUID) -> UUID:
    """Name the execution of a run that somebody asked for out of turn."""
    return uuid5(schedule_id, str(command_id))


@dataclass(frozen=True, slots=True)
class Schedule(Aggregate):
    """The stream of one schedule."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Created): ScheduleStatus.ACTIVE,
        (ScheduleStatus.ACTIVE, Rescheduled): ScheduleStatus.ACTIVE,
        (ScheduleStatus.PAUSED, Rescheduled): ScheduleStatus.PAUSED,
        (ScheduleStatus.ACTIVE, Paused): ScheduleStatus.PAUSED,
        (ScheduleStatus.PAUSED, Resumed): ScheduleStatus.ACTIVE,
        (ScheduleStatus.ACTIVE, Cancelled): ScheduleStatus.CANCELLED,
        (ScheduleStatus.PAUSED, Cancelled): ScheduleStatus.CANCELLED,
        (ScheduleStatus.ACTIVE, Fired): ScheduleStatus.ACTIVE,
        (ScheduleStatus.PAUSED, Fired): ScheduleStatus.PAUSED,
        (ScheduleStatus.ACTIVE, Missed): ScheduleStatus.ACTIVE,
        (ScheduleStatus.PAUSED, Missed): ScheduleStatus.PAUSED,
        (ScheduleStatus.ACTIVE, FailedToFire): ScheduleStatus.ACTIVE,
        (ScheduleStatus.ACTIVE, Ended): ScheduleStatus.ENDED,
    }
