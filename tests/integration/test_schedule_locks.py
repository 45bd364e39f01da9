"""Who looks at once, fires and steers at once, and when: locks, the second fence, and whose clock counts."""

import ast
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from action_ledger.domain.errors import CommandTimedOut
from action_ledger.ops import Ledger
from action_ledger.projections.sql_blocks import trusted
from action_ledger.projections.store import Transaction
from action_ledger.workers import scheduler as scheduling
from action_ledger.workers.faults import code_of
from action_ledger.workers.open_schedule import OpenSchedule
from tests.invariants import check_invariants
from tests.schedules import (
    HOURLY,
    add_one,
    hourly,
    hours_ago,
    overdue,
    score,
    topics,
    work,
)

pytestmark = pytest.mark.usefixtures("places")
ROOT = Path(__file__).parents[2]
QUEUE = "action_ledger.schedule_queue"


def test_threads_that_look_at_once_fire_once(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    for _ in range(5):
        overdue(ledger, hourly(ledger, catch_up="all").id, hours_ago(ledger, 1))
    start = threading.Barrier(10)

    def look(_: int) -> int:
        scheduler = ledger.scheduler()
        start.wait()
        return sum(scheduler.step() for _ in range(15))

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(look, range(10))) == 10
    work(ledger)
    assert score(connection) == 10
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_one_that_somebody_holds_holds_up_no_other(ledger: Ledger, database_url: str) -> None:
    held, free = hourly(ledger), hourly(ledger)
    for schedule, hours in ((held, 2), (free, 0)):
        overdue(ledger, schedule.id, hours_ago(ledger, hours))
    with psycopg.connect(database_url) as other:
        other.execute(f"SELECT FROM {QUEUE} WHERE schedule_id = %s FOR UPDATE".encode(), [held.id])
        started = time.monotonic()
        scheduler = ledger.scheduler()
        assert [scheduler.step(), scheduler.step()] == [True, False]
        assert time.monotonic() - started < 2
    assert (held.view().fired, free.view().fired) == (0, 1)


def test_without_the_lock_the_id_still_lets_one_through(
    ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second fence alone: eight that all believe to hold the row, and one execution."""
    blind = {
        **scheduling.SQL,
        "claim_due": trusted(
            scheduling.SQL["claim_due"].as_string().replace("FOR UPDATE SKIP LOCKED", "")
        ),
    }
    monkeypatch.setattr(scheduling, "SQL", blind)
    together = threading.Barrier(8)
    of = OpenSchedule.of

    def wait_for_all(row: dict[str, object]) -> OpenSchedule:
        together.wait(10)
        return of(row)

    schedule = hourly(ledger)
    overdue(ledger, schedule.id, hours_ago(ledger, 0))
    monkeypatch.setattr(OpenSchedule, "of", wait_for_all)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: ledger.scheduler().step(), range(8)))
    monkeypatch.undo()
    assert found == [True] * 8
    work(ledger)
    assert score(connection) == 1
    assert topics(schedule) == ["created", "fired"]
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_steering_waits_for_the_row_before_it_takes_the_append_lock(
    ledger: Ledger, database_url: str, connection: Connection[DictRow]
) -> None:
    """While it waits for one schedule that is at work, everybody else appends."""
    held, other = hourly(ledger), hourly(ledger)
    with (
        Connection[DictRow].connect(database_url, row_factory=dict_row) as firing,
        ThreadPoolExecutor(1) as pool,
    ):
        firing.execute(f"SELECT FROM {QUEUE} WHERE schedule_id = %s FOR UPDATE".encode(), [held.id])
        waiting = pool.submit(held.pause, by="u")
        time.sleep(0.5)
        started = time.monotonic()
        other.pause(by="u")
        ledger.on("places").keys([1]).update(note="x").by("u").run()
        assert time.monotonic() - started < 2
        assert not waiting.done()
        firing.rollback()
        waiting.result(timeout=10)
    assert held.status == "paused"
    assert score(connection) == 0


def test_steering_does_not_wait_for_ever(
    ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("action_ledger.workers.schedule_steering.WAIT_MS", 20)
    schedule = hourly(ledger)
    with psycopg.connect(database_url) as firing:
        firing.execute(f"SELECT FROM {QUEUE} FOR UPDATE".encode())
        with pytest.raises(CommandTimedOut):
            schedule.pause(by="u")
    schedule.pause(by="u")
    assert schedule.status == "paused"


def test_firing_and_steering_at_once_end_in_one_order(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """Pause, resume, another rule and a run out of turn against the scheduler, all at one schedule."""
    asked = add_one(ledger).on_locked("wait")
    schedule = asked.schedule(cron=HOURLY, timezone="UTC", catch_up="all")
    overdue(ledger, schedule.id, hours_ago(ledger, 20))

    def steer() -> None:
        for _ in range(4):
            schedule.pause(by="s")
            schedule.run_now(by="s")
            schedule.resume(by="s")

    def look() -> None:
        scheduler = ledger.scheduler()
        for _ in range(20):
            scheduler.step()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(steer), *(pool.submit(look) for _ in range(3))]:
            done.result()
    work(ledger)
    assert score(connection) == 21 + 4
    assert schedule.view().fired == 25
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_refusal_says_nothing_of_an_occurrence_that_another_has_fired_since(
    ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = hourly(ledger, catch_up="all")
    overdue(ledger, schedule.id, hours_ago(ledger, 0))

    def refused(*_: object, **__: object) -> None:
        raise psycopg.errors.UndefinedTable

    with monkeypatch.context() as patch:

        def meanwhile(error: Exception) -> str:
            patch.undo()
            assert ledger.scheduler().step()
            return code_of(error)

        patch.setattr(scheduling, "request_execution", refused)
        patch.setattr(scheduling, "code_of", meanwhile)
        assert ledger.scheduler().step()
    assert (schedule.view().fired, schedule.view().failed) == (1, 0)
    row = connection.execute(f"SELECT attempts FROM {QUEUE}".encode()).fetchone()
    assert row == {"attempts": 0}, "it is not put off either"
    work(ledger)
    assert score(connection) == 1
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_schedule_of_which_nothing_can_be_said_is_put_aside(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """A zone that this machine does not know, say: it is left alone for a while, and the others are fired."""
    unknown, sound = add_one(ledger).schedule(cron="0 3 * * *", timezone="UTC"), hourly(ledger)
    for schedule in (unknown, sound):
        overdue(ledger, schedule.id, hours_ago(ledger, 0))
    connection.execute(
        f"UPDATE {QUEUE} SET timezone = 'Mars/Olympus' WHERE schedule_id = %s".encode(),
        [unknown.id],
    )
    scheduler = ledger.scheduler()
    assert [scheduler.step() for _ in range(3)] == [True, True, False]
    assert (unknown.view().fired, sound.view().fired) == (0, 1)
    row = connection.execute(
        f"SELECT last_error FROM {QUEUE} WHERE attempts > 0 AND available_at > clock_timestamp()".encode()
    ).fetchone()
    assert row == {"last_error": "unknown_time_zone"}


def test_no_clock_of_a_worker_is_asked_what_time_it_is() -> None:
    """A worker whose clock is a day off changes nothing: none of this code reads it."""
    wall = {
        ("datetime", "now"),
        ("datetime", "utcnow"),
        ("datetime", "today"),
        ("date", "today"),
        ("time", "time"),
    }
    found: list[str] = []
    for room in ("domain", "projections", "workers"):
        for file in (ROOT / room).glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    found += [f"{file.name}: {node.attr}"] * ((node.value.id, node.attr) in wall)
    assert not found


def test_the_pace_of_looking(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's loop may call it as often as it likes; the database is asked a few times a second."""
    asked: list[None] = []
    execute = Transaction.execute

    def counted(self: Transaction, query: object, parameters: object = None) -> object:
        if query is scheduling.SQL["claim_due"]:
            asked.append(None)
        return execute(self, query, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(Transaction, "execute", counted)
    scheduler = ledger.scheduler()
    for _ in range(100):
        assert not scheduler.look()
    assert len(asked) == 1
    schedules = [hourly(ledger) for _ in range(3)]
    for schedule in schedules:
        overdue(ledger, schedule.id, hours_ago(ledger, 0))
    time.sleep(scheduling.LOOK_SECONDS)
    assert [scheduler.look() for _ in range(5)] == [True, True, True, False, False]
