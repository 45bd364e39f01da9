"""Chains moved on by the service of workers: at once, each move once though ten look, and not without a poll's help."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import Notice
from action_ledger.ops import Ledger, Plan, open_ledger
from action_ledger.ops.plan import Ended
from action_ledger.workers import conductor
from tests.chains import added, break_third, make_tables, story, three
from tests.crash.harness import until
from tests.invariants import check_invariants
from tests.services import a_ledger, serving


@pytest.fixture(autouse=True)
def tables(connection: Connection[DictRow]) -> None:
    make_tables(connection)


def test_at_once(database_url: str, connection: Connection[DictRow]) -> None:
    """The end of each step is heard of: neither the poll nor the lease period comes in this test."""
    break_third(connection)
    heard: list[Notice] = []
    with (
        a_ledger(database_url, poll_seconds=600, lease_seconds=600) as ledger,
        serving(ledger.service()),
    ):
        ledger.hook("told")(heard.append)
        chain = three(ledger).notify(failure="told").submit()
        chain.wait(timeout=60)
        assert chain.status == "compensated"
        until(lambda: heard, "the hook")
        assert [(one.job_id, one.status) for one in heard] == [(chain.id, "compensated")]
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])
    assert added(connection) == [[0], [0], [0]]


def test_a_service_that_ends_when_idle_ends_after_the_chain_and_its_hooks(
    database_url: str, connection: Connection[DictRow]
) -> None:
    heard: list[Notice] = []
    with open_ledger(database_url, hooks={"told": heard.append}) as ledger:
        chain = three(ledger).notify(complete="told").submit()
        ledger.service(Plan(name="one", until_idle=True)).run()
        assert chain.status == "completed"
        assert len(heard) == 1
    assert added(connection) == [[1], [1], [1]]


def test_ten_look_and_each_move_is_made_once(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    chains = [three(ledger, on_locked="wait").submit() for _ in range(3)]

    def work() -> None:
        worker, deadline = ledger.worker(), time.monotonic() + 120
        while any(chain.status != "completed" for chain in chains):
            assert time.monotonic() < deadline
            for chain in chains:
                chain.advance()
            worker.step()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    step = ["step_started", "step_ended"]
    for chain in chains:
        assert story(chain) == ["requested", *step * 3, "completed"]
    assert added(connection) == [[3], [3], [3]]
    check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])


def put_off(connection: Connection[DictRow]) -> int:
    rows = connection.execute("SELECT attempts FROM action_ledger.chain_queue").fetchall()
    return max((row["attempts"] for row in rows), default=0)


def test_who_leaves_when_idle_sees_it_through_after_a_fault_that_passes(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "TABLE_WAIT_MS", 50)
    with open_ledger(database_url) as ledger:
        chain = three(ledger).submit()
        service = ledger.service(Plan(name="w", until_idle=True))
        with psycopg.connect(database_url) as alters, ThreadPoolExecutor(1) as pool:
            alters.execute("LOCK TABLE first IN ACCESS EXCLUSIVE MODE")
            ended = pool.submit(service.run)
            until(lambda: ended.done() or put_off(connection) >= 6, "tries")
            alters.rollback()
            assert ended.result(30) is Ended.IDLE
        assert chain.status == "completed"
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])
