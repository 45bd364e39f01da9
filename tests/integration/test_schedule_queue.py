"""The queue of schedules: its views are what the events say, and a rebuild mends it in place."""

import time

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from action_ledger.projections.sql_blocks import trusted
from tests.dump import dump_ledger
from tests.invariants import check_invariants
from tests.schedules import (
    add_one,
    hourly,
    hours_ago,
    overdue,
    work,
)
from tests.some_work import verified

pytestmark = pytest.mark.usefixtures("places")
QUEUE = "action_ledger.schedule_queue"


def some_schedules(ledger: Ledger) -> None:
    """Leave schedules of every kind: active and paused, fired and missed, refused, cancelled and ended."""
    add_one(ledger).schedule(cron="30 2 * * *", timezone="Europe/Paris", selection="frozen")
    hourly(ledger).pause(by="b")
    hourly(ledger).cancel(by="b")
    moved = hourly(ledger)
    moved.reschedule(at=hours_ago(ledger, -5), timezone="UTC", by="b")
    moved.run_now(by="b")
    for policy, hours in (("last", 3), ("all", 2), ("skip", 4)):
        overdue(ledger, hourly(ledger, catch_up=policy).id, hours_ago(ledger, hours))
    once = add_one(ledger).schedule(at=hours_ago(ledger, -5))
    overdue(ledger, once.id, hours_ago(ledger, 1))
    with ledger.store.transaction() as transaction:
        transaction.execute(trusted("CREATE TABLE public.gone (id int PRIMARY KEY, score int)"))
    refused = hourly(ledger, "gone")
    with ledger.store.transaction() as transaction:
        transaction.execute(trusted("DROP TABLE public.gone"))
    overdue(ledger, refused.id, hours_ago(ledger, 0))
    work(ledger)
    resumed = hourly(ledger)
    resumed.pause(by="b")
    overdue(ledger, resumed.id, hours_ago(ledger, 1))
    resumed.resume(by="b")
    ledger.catch_up()


@pytest.mark.every_postgres
def test_the_views_are_what_the_events_say(ledger: Ledger, connection: Connection[DictRow]) -> None:
    some_schedules(ledger)
    assert verified(ledger) == []
    before = dump_ledger(connection)
    ledger.projections.rebuild(["schedule_queue", "schedules"])
    after = dump_ledger(connection)
    for view in ("schedules", "schedule_runs"):
        assert len(before[f"view_{view}_g1"]) > 5
        assert after[f"view_{view}_g2"] == before[f"view_{view}_g1"]
    assert after["schedule_queue"] == before["schedule_queue"]
    assert verified(ledger) == []
    check_invariants(connection, ledger=ledger)


@pytest.mark.parametrize(
    "harm",
    [
        f"DELETE FROM {QUEUE}",
        f"UPDATE {QUEUE} SET due_at = 'infinity', version = 99, cron = '* * * * *'",
        f"UPDATE {QUEUE} SET status = 'paused', actor = 'x', catch_up = 'all', frozen = true",
        (
            f"INSERT INTO {QUEUE} (schedule_id, version, status, due_at, timezone, catch_up, frozen, actor, correlation_id)"
            " SELECT gen_random_uuid(), 1, 'active', '2999-01-01', 'UTC', 'last', false, 'x', gen_random_uuid()"
        ),
    ],
)
def test_a_rebuild_mends_it_in_place(
    ledger: Ledger, connection: Connection[DictRow], harm: str
) -> None:
    some_schedules(ledger)
    before = dump_ledger(connection)["schedule_queue"]
    connection.execute(harm.encode())
    assert [each for each in verified(ledger) if each.startswith("schedule_queue")]
    ledger.projections.rebuild(["schedule_queue"])
    assert dump_ledger(connection)["schedule_queue"] == before
    assert verified(ledger) == []
    assert {each.generation for each in ledger.projections.status()} == {1}


def test_what_workers_know_of_a_row_is_no_difference(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    schedule = hourly(ledger)
    connection.execute(f"UPDATE {QUEUE} SET attempts = 3, last_error = '55P03'".encode())
    assert verified(ledger) == []
    ledger.projections.rebuild(["schedule_queue"])
    row = connection.execute(f"SELECT attempts FROM {QUEUE}".encode()).fetchone()
    assert row == {"attempts": 3}
    overdue(ledger, schedule.id, hours_ago(ledger, 0))
    work(ledger)
    row = connection.execute(f"SELECT attempts, last_error FROM {QUEUE}".encode()).fetchone()
    assert row == {"attempts": 0, "last_error": None}


def test_a_rebuild_leaves_a_row_to_whoever_holds_it(
    ledger: Ledger, database_url: str, connection: Connection[DictRow]
) -> None:
    hourly(ledger)
    connection.execute(f"UPDATE {QUEUE} SET due_at = 'infinity'".encode())
    with psycopg.connect(database_url) as other:
        other.execute(f"SELECT FROM {QUEUE} FOR UPDATE".encode())
        started = time.monotonic()
        ledger.projections.rebuild(["schedule_queue"])
        assert time.monotonic() - started < 5
    assert verified(ledger) != []
    ledger.projections.rebuild(["schedule_queue"])
    assert verified(ledger) == []
