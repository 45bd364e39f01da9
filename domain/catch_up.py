"""What is to run now of the occurrences that are due, and what is passed over: the catch-up policies."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, assert_never

from .rule import At, Cron, newest_occurrences, next_after, occurrences
from .schedule import CatchUp

COUNTED = 10_000
"""Missed occurrences are counted up to here."""
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Passed:
    """Occurrences that do not run."""

    first: datetime
    last: datetime
    count: int


class Plan(NamedTuple):
    """What happens now: what is passed over, what runs, and what is due after that."""

    passed: Passed | None
    occurrence: datetime | None
    following: datetime | None


class Patience(NamedTuple):
    """How late an occurrence may be that is not missed yet, and how many are caught up with at most."""

    grace: timedelta = timedelta(seconds=60)
    limit: int = 100


def plan_due(
    rule: At | Cron, catch_up: CatchUp, *, due: datetime, now: datetime, patience: Patience
) -> Plan:
    """Decide about what is due: ``due`` is the oldest occurrence that has not run, ``now`` the database's time."""
    newest = newest_occurrences(rule, due, now, patience.limit if catch_up is CatchUp.ALL else 1)
    if not newest:
        return Plan(None, None, due)
    occurrence: datetime | None
    match catch_up:
        case CatchUp.LAST:
            occurrence, following = newest[-1], next_after(rule, now)
        case CatchUp.SKIP:
            late = now - newest[-1] > patience.grace
            occurrence, following = None if late else newest[-1], next_after(rule, now)
        case CatchUp.ALL:
            occurrence = newest[0]
            following = newest[1] if len(newest) > 1 else next_after(rule, occurrence)
        case _:
            assert_never(catch_up)
    until = now if occurrence is None else occurrence - INSTANT
    return Plan(passed_over(rule, due, until), occurrence, following)


def passed_over(rule: At | Cron, due: datetime, until: datetime) -> Passed | None:
    """Say which occurrences from the one that is due up to a moment do not run."""
    newest = newest_occurrences(rule, due, until, 1)
    if not newest:
        return None
    count = sum(1 for _ in islice(occurrences(rule, due, until), COUNTED))
    return Passed(due, newest[-1], count)
