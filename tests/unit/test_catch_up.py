"""The catch-up policies: what runs of the occurrences that passed, what does not, and what is due next."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from action_ledger.domain.catch_up import COUNTED, Passed, Patience, Plan, passed_over, plan_due
from action_ledger.domain.rule import At, Cron
from action_ledger.domain.schedule import CatchUp, occurrence_id

HOURLY = Cron(cron="0 * * * *", timezone="UTC")
MINUTELY = Cron(cron="* * * * *", timezone="UTC")


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 5, 4, hour, minute, second, tzinfo=UTC)


def plan(
    catch_up: CatchUp, now: datetime, *, due: datetime | None = None, limit: int = 100
) -> Plan:
    patience = Patience(timedelta(seconds=60), limit)
    return plan_due(HOURLY, catch_up, due=due or at(8), now=now, patience=patience)


@pytest.mark.parametrize("policy", CatchUp)
def test_in_time(policy: CatchUp) -> None:
    assert plan(policy, at(8, 0, 1)) == Plan(None, at(8), at(9))


@pytest.mark.parametrize("policy", CatchUp)
def test_not_due_yet(policy: CatchUp) -> None:
    assert plan(policy, at(7, 59, 59)) == Plan(None, None, at(8))


def test_last_runs_the_newest_once() -> None:
    assert plan(CatchUp.LAST, at(11, 30)) == Plan(Passed(at(8), at(10), 3), at(11), at(12))
    assert plan(CatchUp.LAST, at(8, 59)) == Plan(None, at(8), at(9))


def test_skip_runs_none_that_is_late() -> None:
    assert plan(CatchUp.SKIP, at(11, 30)) == Plan(Passed(at(8), at(11), 4), None, at(12))
    assert plan(CatchUp.SKIP, at(8, 1, 1)) == Plan(Passed(at(8), at(8), 1), None, at(9))


def test_skip_runs_what_is_late_within_the_grace() -> None:
    assert plan(CatchUp.SKIP, at(8, 1)) == Plan(None, at(8), at(9))
    assert plan(CatchUp.SKIP, at(11, 0, 30)) == Plan(Passed(at(8), at(10), 3), at(11), at(12))


def test_all_runs_them_one_by_one() -> None:
    assert plan(CatchUp.ALL, at(11, 30)) == Plan(None, at(8), at(9))
    assert plan(CatchUp.ALL, at(11, 30), due=at(11)) == Plan(None, at(11), at(12))


def test_all_has_a_bound() -> None:
    first = plan(CatchUp.ALL, at(11, 30), limit=2)
    assert first == Plan(Passed(at(8), at(9), 2), at(10), at(11))
    assert plan(CatchUp.ALL, at(11, 30), due=at(11), limit=2) == Plan(None, at(11), at(12))
    assert plan(CatchUp.ALL, at(11, 30), limit=1) == Plan(Passed(at(8), at(10), 3), at(11), at(12))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CatchUp.LAST, Plan(None, at(8), None)),
        (CatchUp.ALL, Plan(None, at(8), None)),
        (CatchUp.SKIP, Plan(Passed(at(8), at(8), 1), None, None)),
    ],
)
def test_one_time_that_is_late(policy: CatchUp, expected: Plan) -> None:
    rule = At(at=at(8))
    assert plan_due(rule, policy, due=at(8), now=at(20), patience=Patience()) == expected


@pytest.mark.parametrize("policy", CatchUp)
def test_years_of_minutes_cost_little(policy: CatchUp) -> None:
    """A worker comes back after five years: the row's lock is not held for long, and the count says where it stops."""
    now = at(8) + timedelta(days=5 * 365)
    started = time.monotonic()
    found = plan_due(MINUTELY, policy, due=at(8), now=now, patience=Patience())
    assert time.monotonic() - started < 2
    assert found.passed is not None
    assert found.passed.count == COUNTED
    assert found.passed.first == at(8)
    if policy is CatchUp.ALL:
        assert found.occurrence == now - timedelta(minutes=99)
    else:
        assert found.occurrence == now


def test_nothing_is_passed_over_before_it_is_due() -> None:
    assert passed_over(HOURLY, at(8), at(7)) is None
    assert passed_over(HOURLY, at(8), at(8)) == Passed(at(8), at(8), 1)


def test_an_occurrence_names_its_execution() -> None:
    """By the instant, in whichever zone it is written."""
    named = occurrence_id(UUID(int=7), at(8))
    assert occurrence_id(UUID(int=7), at(8).astimezone(ZoneInfo("Europe/Paris"))) == named
    assert occurrence_id(UUID(int=7), at(9)) != named
    assert occurrence_id(UUID(int=8), at(8)) != named
