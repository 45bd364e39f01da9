"""Runs that no worker was up for: what each catch-up policy makes of them, to the end, and what is recorded."""

from datetime import timedelta

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger, Settings, open_ledger
from tests.invariants import check_invariants
from tests.schedules import (
    add_one,
    database_time,
    hourly,
    hours_ago,
    overdue,
    score,
    topics,
    work,
)

pytestmark = pytest.mark.usefixtures("places")


@pytest.mark.parametrize(
    ("policy", "runs", "missed"), [("last", 1, 5), ("all", 6, 0)], ids=["last", "all"]
)
def test_five_hours_without_a_worker(
    ledger: Ledger, connection: Connection[DictRow], policy: str, runs: int, missed: int
) -> None:
    schedule = hourly(ledger, catch_up=policy)
    newest = hours_ago(ledger, 0)
    overdue(ledger, schedule.id, hours_ago(ledger, 5))
    work(ledger)
    assert score(connection) == runs
    view = schedule.view()
    assert (view.fired, view.missed) == (runs, missed)
    assert view.due_at == newest + timedelta(hours=1)
    found = schedule.runs()
    assert found[0].occurrence == newest
    assert len({run.execution_id for run in found if run.execution_id}) == runs
    if policy == "all":
        occurrences = [run.occurrence for run in reversed(found)]
        assert occurrences == [newest - timedelta(hours=n) for n in range(5, -1, -1)]
    else:
        gap = found[1]
        assert (gap.outcome, gap.occurrences) == ("missed", 5)
        assert gap.occurrence == newest - timedelta(hours=5)
        assert gap.last_occurrence == newest - timedelta(hours=1)
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_skip_runs_none_of_them(ledger: Ledger, connection: Connection[DictRow]) -> None:
    late = database_time(ledger) - timedelta(seconds=100)
    for due, runs in ((hours_ago(ledger, 5), 0), (late, 0)):
        schedule = add_one(ledger).schedule(cron="0 0 29 2 *", timezone="UTC", catch_up="skip")
        overdue(ledger, schedule.id, due)
        work(ledger)
        assert score(connection) == runs
        assert topics(schedule) == ["created", "missed"]
        assert (schedule.status, schedule.view().missed) == ("active", 1)
    check_invariants(connection, ledger=ledger)


def test_skip_runs_one_that_is_late_within_the_grace(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    schedule = add_one(ledger).schedule(cron="0 0 29 2 *", timezone="UTC", catch_up="skip")
    overdue(ledger, schedule.id, database_time(ledger) - timedelta(seconds=20))
    work(ledger)
    assert score(connection) == 1


def test_settings_bound_both(database_url: str, connection: Connection[DictRow]) -> None:
    settings = Settings.model_validate(
        {"schedule_catch_up_limit": 2, "schedule_grace_seconds": 1000, "schedule_max_days_ahead": 1}
    )
    with open_ledger(database_url, settings=settings) as ledger:
        every = hourly(ledger, catch_up="all")
        overdue(ledger, every.id, hours_ago(ledger, 5))
        work(ledger)
        assert (every.view().fired, every.view().missed) == (2, 4)
        assert topics(every) == ["created", "missed", "fired", "fired"]
        late = add_one(ledger).schedule(cron="0 0 29 2 *", timezone="UTC", catch_up="skip")
        overdue(ledger, late.id, database_time(ledger) - timedelta(seconds=900))
        work(ledger)
        assert late.view().fired == 1
        with pytest.raises(Exception, match="more than 1 days ahead"):
            add_one(ledger).schedule(at=database_time(ledger) + timedelta(days=2))
    assert score(connection) == 3


@pytest.mark.parametrize(
    ("policy", "story", "runs"),
    [
        ("last", ["created", "fired", "ended"], 1),
        ("all", ["created", "fired", "ended"], 1),
        ("skip", ["created", "missed", "ended"], 0),
    ],
)
def test_one_time_that_is_past(
    ledger: Ledger, connection: Connection[DictRow], policy: str, story: list[str], runs: int
) -> None:
    later = database_time(ledger) + timedelta(hours=1)
    schedule = add_one(ledger).schedule(at=later, catch_up=policy)
    overdue(ledger, schedule.id, hours_ago(ledger, 30))
    work(ledger)
    assert topics(schedule) == story
    assert score(connection) == runs


def test_a_refusal_while_catching_up(ledger: Ledger, connection: Connection[DictRow]) -> None:
    """Each occurrence is refused for itself, and the schedule goes on, and does not spin."""
    schedule = hourly(ledger, catch_up="all")
    overdue(ledger, schedule.id, hours_ago(ledger, 2))
    connection.execute("DROP TABLE places")
    scheduler = ledger.scheduler()
    assert [scheduler.step() for _ in range(5)] == [True, True, True, False, False]
    assert topics(schedule) == ["created", *["failed_to_fire"] * 3]
    check_invariants(connection, ledger=ledger)
