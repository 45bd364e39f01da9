"""Workers are killed while they fire, look ten at once, lose answers or stand still: each occurrence runs once."""

import os
import signal
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import ScheduleClosed
from action_ledger.ops import Ledger, open_ledger
from tests.crash.harness import children, finished, killed, make_places, scores, topics, until
from tests.crash.proxy import Fate, Proxy, proxied
from tests.crash.test_frozen import LEASE, stopped
from tests.faults import injected
from tests.invariants import check_invariants
from tests.schedules import add_one, hourly, hours_ago, overdue, work

FIRING_STEPS = (
    "firing.claimed",
    "request.before_append",
    "request.before_commit",
    "firing.requested",
    "firing.appended",
    "firing.before_commit",
)
STEERING_STEPS = ("steering.held", "steering.before_append", "steering.before_commit")
FATES = [Fate.ANSWER_LOST, Fate.LOST, Fate.LATE]
Lossy = tuple[Proxy, Ledger]


def due(ledger: Ledger, *, hours: int = 0, selection: str = "evaluated") -> UUID:
    """Make a schedule that catches up with all, and has been due for some hours; give its id."""
    schedule = add_one(ledger).schedule(
        cron="0 * * * *", timezone="UTC", catch_up="all", selection=selection
    )
    overdue(ledger, schedule.id, hours_ago(ledger, hours))
    return schedule.id


@pytest.mark.crash
@pytest.mark.parametrize("selection", ["evaluated", "frozen"])
def test_killed_at_every_step_of_the_firing(
    database_url: str, connection: Connection[DictRow], selection: str
) -> None:
    """And once more while the next worker takes up what was left; nothing of a killed firing is there."""
    make_places(connection, 100)
    with open_ledger(database_url) as ledger:
        schedule = ledger.schedule(due(ledger, hours=2, selection=selection))
        for _ in range(2):
            for step in FIRING_STEPS:
                killed({"url": database_url, "fire": True, "step": step})
                assert schedule.view().fired == 0
                assert "execution.requested" not in topics(connection)
                check_invariants(connection, ledger=ledger, open_jobs=True)
        killed({"url": database_url, "fire": True, "step": "firing.before_commit", "at": 2})
        assert schedule.view().fired == 1
        finished({"url": database_url, "fire": True})
        work(ledger)
        assert scores(connection) == {3: 100}
        assert [run.outcome for run in schedule.runs()] == ["fired"] * 3
        assert topics(connection)["execution.completed"] == 3
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.parametrize("step", ["schedule.before_append", "schedule.before_commit"])
def test_killed_while_it_is_created(
    database_url: str, connection: Connection[DictRow], step: str
) -> None:
    make_places(connection, 100)
    with open_ledger(database_url) as ledger:
        killed({"url": database_url, "schedule": True, "step": step})
        assert topics(connection) == {}
        assert not connection.execute("SELECT FROM action_ledger.key_sets").fetchall()
        finished({"url": database_url, "schedule": True})
        assert [view.records for view in ledger.schedules()] == [100]
        check_invariants(connection, ledger=ledger)


@pytest.mark.crash
@pytest.mark.parametrize("how", ["pause", "resume", "cancel", "run_now"])
def test_killed_while_it_is_steered(
    database_url: str, connection: Connection[DictRow], how: str
) -> None:
    make_places(connection, 100)
    with open_ledger(database_url) as ledger:
        schedule = hourly(ledger)
        if how == "resume":
            schedule.pause(by="u")
        before = schedule.view(), topics(connection)
        order = {"url": database_url, "steer": schedule.id, "how": how}
        for step in STEERING_STEPS:
            killed({**order, "step": step})
            assert (schedule.view(), topics(connection)) == before
            check_invariants(connection, ledger=ledger)
        finished(order)
        assert (schedule.view(), topics(connection)) != before
        work(ledger)
        assert scores(connection) == ({1: 100} if how == "run_now" else {0: 100})
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(9)
def test_ten_processes_that_look_at_once(
    database_url: str, connection: Connection[DictRow]
) -> None:
    make_places(connection, 50)
    with open_ledger(database_url) as ledger:
        ids = [due(ledger, hours=1) for _ in range(15)]
        finished(*[{"url": database_url, "fire": True}] * 10)
        finished({"url": database_url, "fire": True})  # what others held at the end
        assert [ledger.schedule(id_).view().fired for id_ in ids] == [2] * 15
        assert topics(connection)["execution.requested"] == 30
        work(ledger)
        assert scores(connection) == {30: 50}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.every_postgres
def test_ten_workers_that_are_killed_at_any_moment(
    database_url: str, connection: Connection[DictRow]
) -> None:
    make_places(connection, 50)
    with open_ledger(database_url) as ledger:
        ids = [due(ledger, hours=3) for _ in range(4)]

        def done() -> bool:
            views = [ledger.schedule(id_).view() for id_ in ids]
            return (
                all(view.fired == 4 for view in views)
                and not connection.execute("SELECT FROM action_ledger.work_queue").fetchall()
            )

        while not done():
            with children(*[{"url": database_url}] * 10) as workers:
                time.sleep(0.5)
                for worker in workers:
                    time.sleep(0.05)
                    injected(1)
                    worker.kill()
        assert scores(connection) == {16: 50}
        assert topics(connection)["execution.completed"] == 16
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(2)
@pytest.mark.parametrize("step", ["firing.requested", "firing.appended"])
def test_one_that_stands_still_while_it_fires(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It holds the append lock, which all others need: the server ends it, and another fires."""
    monkeypatch.setenv("ACTION_LEDGER_LEASE_SECONDS", str(LEASE))
    make_places(connection, 100)
    with open_ledger(database_url) as ledger:
        schedule = ledger.schedule(due(ledger))
        order: dict[str, Any] = {"url": database_url, "fire": True, "step": step}
        with children({**order, "signal": "SIGSTOP", "lease_seconds": LEASE}) as (worker,):
            assert worker.pid is not None
            until(lambda: stopped(worker.pid or 0), "the worker's stop")
            started = time.monotonic()
            ledger.on("places").where(col("id") < 0).update(score=1).by("u").run()
            work(ledger)
            assert time.monotonic() - started < 2 * LEASE
            assert schedule.view().fired == 1
            os.kill(worker.pid, signal.SIGCONT)
            worker.join(30)
            assert worker.exitcode == 0
        work(ledger)
        assert scores(connection) == {1: 100}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.fixture
def lossy(database_url: str) -> Generator[Lossy]:
    """A ledger whose connections go through the proxy."""
    with (
        tempfile.TemporaryDirectory(prefix="al-") as directory,
        proxied(database_url, Path(directory)) as (proxy, url),
        open_ledger(url) as ledger,
    ):
        yield proxy, ledger


@pytest.mark.parametrize("fates", [[fate] for fate in FATES] + [FATES * 2], ids=str)
def test_the_answer_to_a_firings_commit_is_lost(
    lossy: Lossy, connection: Connection[DictRow], fates: list[Fate]
) -> None:
    make_places(connection, 100)
    proxy, ledger = lossy
    schedule = ledger.schedule(due(ledger, hours=2))
    scheduler = ledger.scheduler()
    proxy.will(*fates)
    deadline = time.monotonic() + 30
    while topics(connection).get("schedule.fired", 0) < 3:  # past the proxy
        scheduler.step()
        time.sleep(0.05)
        assert time.monotonic() < deadline
    proxy.will()
    work(ledger)
    assert scores(connection) == {3: 100}
    assert schedule.view().failed == 0
    assert topics(connection)["execution.requested"] == 3
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("fate", FATES)
def test_the_answer_to_a_commands_commit_is_lost(
    lossy: Lossy, connection: Connection[DictRow], fate: Fate
) -> None:
    make_places(connection, 100)
    proxy, ledger = lossy
    proxy.will(fate)
    schedule = hourly(ledger)
    proxy.will(fate)
    schedule.pause(by="u")
    proxy.will(fate)
    execution = schedule.run_now(by="u")
    proxy.will(fate)
    schedule.cancel(by="u")
    assert proxy.struck
    with pytest.raises(ScheduleClosed):
        schedule.cancel(by="u")
    execution.finish()
    assert scores(connection) == {1: 100}
    counted = topics(connection)
    for topic in ("created", "paused", "fired", "cancelled"):
        assert counted[f"schedule.{topic}"] == 1
    check_invariants(connection, ledger=ledger, tables=["places"])
