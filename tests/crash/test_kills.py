"""Workers are killed in the middle of 100,000 records, at every kind of place: others finish, each record once."""

import random
import time
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.handle import Handle
from tests.crash.harness import (
    Watcher,
    children,
    finished,
    killed,
    make_places,
    scores,
    topics,
    until,
)
from tests.faults import injected
from tests.invariants import check_invariants

RECORDS = 100_000
BATCH = 4_000
BATCHES = RECORDS // BATCH

PLAN_STEPS = ("plan.claimed", "plan.cut", "plan.before_commit")
BATCH_STEPS = ("batch.claimed", "batch.applied", "batch.appended", "batch.before_commit")
UNDO_STEPS = (
    "compensation.claimed",
    "compensation.applied",
    "compensation.appended",
    "compensation.before_commit",
)


def add_one(ledger: Ledger, batch: int = BATCH) -> Request:
    return ledger.on("places").all().update(score=col("score") + 1).by("user:1").batch_size(batch)


def orders(url: str, job: object, *places: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"url": url, "job": job, "step": step, "at": at} for step, at in places]


def test_killed_at_five_points(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger, Watcher(database_url) as watcher:
        execution = add_one(ledger).submit()
        dead = killed(*orders(database_url, execution.id, ("plan.cut", 1)))
        places = (
            ("batch.claimed", 1),
            ("batch.applied", 3),
            ("batch.appended", 2),
            ("batch.before_commit", 4),
        )
        dead += killed(*orders(database_url, execution.id, *places))
        assert dead == 5
        left = execution.progress()
        assert left.status == "running"
        assert left.pending > 0
        finished({"url": database_url, "job": execution.id})
        assert scores(connection) == {1: RECORDS}
        assert execution.status == "completed"
        assert execution.progress().applied == RECORDS
        counted = topics(connection)
        assert counted["batch.completed"] == BATCHES
        assert counted["execution.completed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])
    assert watcher.reads > 100


def test_undo_killed_at_five_points(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger, Watcher(database_url) as watcher:
        execution = add_one(ledger).run()
        undo = execution.undo(by="user:2").submit()
        places = (*((step, at) for at, step in enumerate(UNDO_STEPS, 1)), (UNDO_STEPS[1], 1))
        assert killed(*orders(database_url, undo.id, *places)) == 5
        assert undo.progress().pending > 0
        finished({"url": database_url, "job": undo.id})
        assert scores(connection) == {0: RECORDS}
        assert undo.status == "completed"
        assert undo.progress().applied == RECORDS
        counted = topics(connection)
        assert counted["batch.compensated"] == BATCHES
        assert counted["undo.completed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])
    assert watcher.reads > 100


def test_streaming_killed_while_planning(
    database_url: str, connection: Connection[DictRow]
) -> None:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger, Watcher(database_url) as watcher:
        execution = add_one(ledger).streaming().submit()
        killed(*orders(database_url, execution.id, ("plan.cut", 2)))
        assert execution.progress().total < RECORDS
        assert not execution.progress().total_final
        for place in (
            ("plan.before_commit", 2),
            ("plan.claimed", 2),
            ("batch.appended", 2),
            ("batch.applied", 1),
        ):
            killed(*orders(database_url, execution.id, place))
        finished(
            {"url": database_url, "job": execution.id}, {"url": database_url, "job": execution.id}
        )
        assert scores(connection) == {1: RECORDS}
        assert execution.status == "completed"
        assert execution.progress().total == execution.progress().applied == RECORDS
        assert topics(connection)["execution.completed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])
    assert watcher.reads > 100


@pytest.mark.parametrize("step", ["request.before_append", "request.before_commit"])
def test_run_killed_in_its_one_transaction(
    database_url: str, connection: Connection[DictRow], step: str
) -> None:
    make_places(connection, 100)
    killed({"url": database_url, "run": 50, "step": step})
    assert scores(connection) == {0: 100}
    assert topics(connection) == {}
    finished({"url": database_url, "run": 50})
    assert scores(connection) == {0: 50, 1: 50}
    with open_ledger(database_url) as ledger:
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.parametrize("streaming", [False, True])
def test_killed_at_every_step(
    database_url: str, connection: Connection[DictRow], *, streaming: bool
) -> None:
    """Each step of plan, batch and undo, and again while the next worker takes up what was left."""
    records, batch = 1_200, 200
    make_places(connection, records)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        request = add_one(ledger, batch)
        execution = (request.streaming() if streaming else request).submit()
        dead = killed(*orders(database_url, execution.id, *((step, 1) for step in PLAN_STEPS)))
        for step in (*BATCH_STEPS, *BATCH_STEPS):
            dead += killed(*orders(database_url, execution.id, (step, 1)))
            check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)
        finished({"url": database_url, "job": execution.id})
        assert scores(connection) == {1: records}
        check_invariants(connection, ledger=ledger, tables=["places"])
        undo = execution.undo(by="user:2").submit()
        for step in (*UNDO_STEPS, *UNDO_STEPS):
            dead += killed(*orders(database_url, undo.id, (step, 1)))
            check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)
        finished({"url": database_url, "job": undo.id})
        assert scores(connection) == {0: records}
        assert dead == len(PLAN_STEPS) + 2 * len(BATCH_STEPS) + 2 * len(UNDO_STEPS)
        check_invariants(connection, ledger=ledger, tables=["places"])


def begin(ledger: Ledger, direction: str) -> Handle:
    """Submit the next of do, undo and redo."""
    if direction == "do":
        return add_one(ledger, 1_000).streaming().submit()
    execution = ledger.execution(ledger.executions()[0].id)
    if direction == "undo":
        return execution.undo(by="user:2").submit()
    return execution.undos()[0].redo(by="user:2").submit()


@pytest.mark.crash
@pytest.mark.every_postgres
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_any_moment(
    database_url: str, connection: Connection[DictRow], seed: int
) -> None:
    """Four workers, one of them killed every few hundredths of a second, until do, undo and redo are done."""
    make_places(connection, RECORDS)
    chance = random.Random(seed)  # noqa: S311 - no secret
    dead = 0
    with open_ledger(database_url) as ledger, Watcher(database_url):
        for turn, direction in enumerate(("do", "undo", "redo")):
            job = begin(ledger, direction)
            while job.status not in job.ended:
                with children(*[{"url": database_url, "job": job.id}] * 4) as workers:
                    for worker in workers:
                        time.sleep(chance.uniform(0.05, 0.3))
                        dead += worker.is_alive()
                        injected(1, worker.is_alive())
                        worker.kill()
            assert scores(connection) == {(turn + 1) % 2: RECORDS}
            check_invariants(connection, ledger=ledger, tables=["places"])
    assert dead >= 10


def test_a_killed_worker_is_missed_at_once(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """Its lease is its transaction: what it held is free as soon as the server sees that it is gone."""
    make_places(connection, 100)
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 10).submit()
        ledger.worker().step(execution.id)
        started = time.monotonic()
        killed(*orders(database_url, execution.id, ("batch.appended", 1)))
        ledger.worker().finish(execution.id)
        until(lambda: execution.status == "completed")
        assert time.monotonic() - started < 5
        assert scores(connection) == {1: 100}
        check_invariants(connection, ledger=ledger, tables=["places"])
