"""Followers and rebuilds that are killed within a block, and one that is slow: nothing is lost, doubled or left."""

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.synchronize import Event

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
from tests.command_line import CommandLine
from tests.crash import projecting
from tests.crash.harness import LONGEST, PROCESSES, Watcher, finished, make_places, scores, until
from tests.crash.test_contention import add_one
from tests.crash.test_surroundings import looking
from tests.dump import dump_ledger
from tests.invariants import check_invariants
from tests.journal import append, story
from tests.some_work import verified

pytestmark = [pytest.mark.crash, pytest.mark.fault(12)]


@pytest.mark.parametrize(
    ("work", "name"), [("rebuild", "progress"), ("rebuild", "audit"), ("follow", "audit")]
)
def test_killed_within_a_block(
    database_url: str, connection: Connection[DictRow], work: str, name: str
) -> None:
    with open_ledger(database_url) as ledger:
        for _ in range(10):
            append(ledger.store, *story())
        if work == "rebuild":
            ledger.catch_up()
        before = dump_ledger(connection)
        reached = PROCESSES.Event()
        process = PROCESSES.Process(
            target=projecting.main, args=(database_url, work, name, 15, reached)
        )
        process.start()
        try:
            assert reached.wait(LONGEST)
        finally:
            process.kill()
            process.join()
            process.close()
        until(lambda: not at_work(connection), "the server's notice of the kill")
        after = dump_ledger(connection)
        if work == "rebuild":
            assert after == before
            assert ledger.projections.rebuild([name])[0].events == 30
        else:
            assert len(after["view_audit_g1"]) == 10, "the first block, and none of the second"
            ledger.catch_up()
        assert verified(ledger) == []
        assert len(ledger.audit()) == 30


def at_work(connection: Connection[DictRow]) -> list[DictRow]:
    """Sessions of the ledger that are still within a transaction."""
    return connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'action-ledger' AND state <> 'idle'"
    ).fetchall()


EVENT = 0.2
"""Seconds that the slow follower takes for one."""
BATCHES = 200


def test_a_slow_follower(database_url: str, connection: Connection[DictRow]) -> None:
    """Writers wait for nothing that it holds, it is as far behind as is said, and catches up."""
    make_places(connection, 10 * BATCHES)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        quick = PROCESSES.Event()
        with (
            following(f"{database_url}&application_name=slow", quick) as pid,
            held_up(database_url, by="slow") as waits,
        ):
            execution = add_one(ledger, 10).submit()
            finished(*[{"url": database_url, "job": execution.id}] * 2)
            undo = execution.undo(by="user:2").submit()
            finished(*[{"url": database_url, "job": undo.id}] * 2)
            assert scores(connection) == {0: 10 * BATCHES}
            assert waits.count(0) == len(waits) > 100
            until(lambda: counts(connection)[1], "a block of the follower's")
            os.kill(pid, signal.SIGSTOP)
            until(lambda: not active(connection), "the end of its last statement")
            there, seen = counts(connection)
            assert there > 3 * BATCHES
            assert 0 < seen < there / 2, "it was not slow: the test shows nothing"
            (found,) = (each for each in ledger.projections.status() if each.name == "audit")
            assert (found.lag, found.parked) == (there - seen, 0)
            told = CommandLine(database_url)("projections", "status", "--json").json
            assert {each["name"]: each["lag"] for each in told}["audit"] == there - seen
            os.kill(pid, signal.SIGCONT)
            quick.set()
            until(lambda: not any(each.lag for each in ledger.projections.status()), "the head")
            assert counts(connection) == (there, there)
        assert verified(ledger) == []
        check_invariants(connection, ledger=ledger, tables=["places"])


@contextmanager
def following(url: str, quick: Event) -> Generator[int]:
    """Let a process follow slowly, until it may be quick; gives its id."""
    process = PROCESSES.Process(target=projecting.dawdle, args=(url, "audit", EVENT, quick))
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.kill()
        process.join()
        process.close()


@contextmanager
def held_up(url: str, *, by: str) -> Generator[list[int]]:
    """Count, again and again, the sessions that wait for a lock of those of a name."""
    over, counted = threading.Event(), list[int]()

    def watch() -> None:
        with looking(url) as connection:
            while not over.wait(0.005):
                waiting = connection.execute(
                    "SELECT FROM pg_locks w CROSS JOIN unnest(pg_blocking_pids(w.pid)) AS h (pid)"
                    " JOIN pg_stat_activity a ON a.pid = h.pid"
                    " WHERE NOT w.granted AND a.application_name = %s",
                    [by],
                ).fetchall()
                counted.append(len(waiting))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield counted
    finally:
        over.set()
        thread.join()


def active(connection: Connection[DictRow]) -> list[DictRow]:
    """Sessions of the slow follower that are within a statement."""
    return connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'slow' AND state = 'active'"
    ).fetchall()


def counts(connection: Connection[DictRow]) -> tuple[int, int]:
    """Count the events, and those that the audit view has taken in, at one moment."""
    (row,) = connection.execute(
        "SELECT (SELECT count(*) FROM action_ledger.stored_events) AS there,"
        " (SELECT count(*) FROM action_ledger.view_audit_g1) AS seen"
    ).fetchall()
    return row["there"], row["seen"]
