"""Connections and answers that are lost while a worker works: the step survives, and the work is done once."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import StoreUnavailable
from action_ledger.ops import Ledger, open_ledger
from action_ledger.workers import claim as claiming
from action_ledger.workers import loop
from action_ledger.workers.steps import strike
from tests.crash.child import striking
from tests.crash.harness import Watcher, make_places, scores, topics
from tests.faults import injected
from tests.invariants import check_invariants

RECORDS = 1_000
PAUSES = 12


@contextmanager
def struck(step: str, at: int, act: Callable[[], object]) -> Generator[None]:
    """Act once, at the n-th arrival at a step in this thread. An assertion that fails there fails the test.

    A worker answers for whatever is raised in its work: it would take the assertion for a fault of the unit.
    """
    failed: list[AssertionError] = []

    def guarded() -> None:
        try:
            act()
        except AssertionError as error:
            failed.append(error)

    token = strike.set(striking(step, at, guarded))
    try:
        yield
    finally:
        strike.reset(token)
    if failed:
        raise failed[0]


def terminate(connection: Connection[DictRow], *, idle_too: bool = False) -> int:
    """End the ledger's sessions that are in a transaction, or all of them; give how many there were."""
    rows = connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'action-ledger' AND (%s OR state <> 'idle')",
        [idle_too],
    ).fetchall()
    injected(3, len(rows))
    return len(rows)


def submit(ledger: Ledger, batch: int = 100) -> UUID:
    request = (
        ledger.on("places").all().update(score=col("score") + 1).by("user:1").batch_size(batch)
    )
    return request.submit().id


@pytest.mark.parametrize(
    "step",
    [
        "plan.claimed",
        "plan.cut",
        "plan.before_commit",
        "batch.claimed",
        "batch.applied",
        "batch.appended",
        "batch.before_commit",
    ],
)
def test_backend_ended(database_url: str, connection: Connection[DictRow], step: str) -> None:
    """57P01, at every step."""
    make_places(connection, RECORDS)
    ended: list[int] = []
    with open_ledger(database_url) as ledger, Watcher(database_url):
        job = submit(ledger)
        at = 1 if step.startswith("plan") else 2
        with struck(step, at, lambda: ended.append(terminate(connection))):
            ledger.worker().finish(job)
        assert ended == [1]
        assert scores(connection) == {1: RECORDS}
        assert topics(connection)["execution.completed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("step", ["compensation.applied", "compensation.before_commit"])
def test_backend_ended_in_an_undo(
    database_url: str, connection: Connection[DictRow], step: str
) -> None:
    make_places(connection, RECORDS)
    ended: list[int] = []
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = ledger.execution(submit(ledger))
        ledger.worker().finish(execution.id)
        undo = execution.undo(by="user:2").submit()
        with struck(step, 3, lambda: ended.append(terminate(connection))):
            ledger.worker().finish(undo.id)
        assert ended == [1]
        assert scores(connection) == {0: RECORDS}
        assert topics(connection)["undo.completed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_every_pooled_connection_is_dead(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """As after a restart of the server: whatever the pool has is of no use any more."""
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger:
        job = submit(ledger)
        threads = [threading.Thread(target=ledger.worker().step, args=(job,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert terminate(connection, idle_too=True) >= 1
        ledger.worker().finish(job)
        assert scores(connection) == {1: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_connection_lost_while_claiming(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_places(connection, RECORDS)
    claims: list[int] = []

    def claim(*args: Any, **options: Any) -> object:
        claims.append(1)
        if len(claims) in {2, 4, 5}:
            terminate(connection)
        return claiming.claim(*args, **options)

    monkeypatch.setattr(loop, "claim", claim)
    with open_ledger(database_url) as ledger:
        ledger.worker().finish(submit(ledger))
        assert len(claims) > 5
        assert scores(connection) == {1: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_connection_lost_while_answering_for_a_fault(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_places(connection, RECORDS)
    answers: list[int] = []
    ended: list[int] = []

    def postpone(*args: Any, **options: Any) -> None:
        answers.append(1)
        if len(answers) == 1:
            terminate(connection)
        claiming.postpone(*args, **options)

    monkeypatch.setattr(loop, "postpone", postpone)
    with open_ledger(database_url) as ledger:
        job = submit(ledger)
        with struck("batch.applied", 2, lambda: ended.append(terminate(connection))):
            ledger.worker().finish(job)
        assert answers
        assert scores(connection) == {1: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_server_that_stays_away_is_told(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A foreground worker does not try for ever."""
    make_places(connection, 10)
    monkeypatch.setattr(loop, "FIRST_DELAY", 0.0001)

    def claim(*_: object, **__: object) -> object:
        raise psycopg.OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(loop, "claim", claim)
    with open_ledger(database_url) as ledger, pytest.raises(StoreUnavailable):
        ledger.worker().finish(submit(ledger))


def test_a_program_fault_does_not_kill_the_worker(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """A unit that nobody foresaw fails by itself; the worker goes on with the others."""
    make_places(connection, RECORDS)

    def fault() -> None:
        raise KeyError("a fault of the program")

    with open_ledger(database_url) as ledger:
        execution = ledger.execution(submit(ledger))
        with struck("batch.applied", 3, fault):
            ledger.worker().finish(execution.id)
        assert execution.status == "failed"
        assert execution.row()["error"] == "unexpected_error"
        assert scores(connection) == {0: 100, 1: RECORDS - 100}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_unit_that_can_be_neither_done_nor_failed(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put aside, with its fault on it; the worker goes on with the others."""
    make_places(connection, RECORDS)

    def fault(*_: object, **__: object) -> None:
        raise KeyError("a fault of the program")

    monkeypatch.setattr(loop, "fail_unit", fault)
    with open_ledger(database_url) as ledger:
        job = submit(ledger)
        worker = ledger.worker()
        with struck("batch.claimed", 3, fault):
            while worker.step(job):
                pass
        assert scores(connection) == {0: 100, 1: RECORDS - 100}
        aside = connection.execute(
            "SELECT last_error, attempts FROM action_ledger.work_queue"
        ).fetchall()
        assert aside == [{"last_error": "unexpected_error", "attempts": 1}]
        check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)


def test_a_worker_survives_a_pause_of_the_database(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """All connections are ended again and again while an endless worker works; then it is left alone.

    Each time a batch is put off for longer, so without an end to it the test would be as long as its luck is bad.
    """
    make_places(connection, RECORDS)
    done = threading.Event()
    with open_ledger(database_url) as ledger, open_ledger(database_url) as other:
        thread = threading.Thread(target=other.work, args=(done.is_set,))
        thread.start()
        try:
            execution = ledger.execution(submit(ledger, 10))
            ended = 0
            while execution.status != "completed":
                time.sleep(0.05)
                if ended < PAUSES:
                    ended += terminate(connection)
            assert ended
        finally:
            done.set()
            thread.join()
        assert scores(connection) == {1: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])
