"""What befalls the server and not the work: a backend killed, a full disk, a move elsewhere, a transaction left open."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.handle import Handle
from action_ledger.ops.handles import ExecutionHandle
from tests import servers
from tests.crash.harness import Watcher, make_places, scores, topics, until
from tests.crash.test_connections import struck
from tests.faults import injected, not_here
from tests.invariants import check_invariants
from tests.servers import TestServer

RECORDS = 50_000


def add_one(ledger: Ledger, batch: int, table: str = "places") -> ExecutionHandle:
    request = ledger.on(table).all().update(score=col("score") + 1).by("user:1")
    return request.batch_size(batch).submit()


@contextmanager
def looking(url: str) -> Generator[Connection[DictRow]]:
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        yield connection


# ---- 4: one backend is killed, so that the server ends all of them and recovers


@pytest.mark.crash
def test_a_backend_is_killed() -> None:
    """At each step of a batch and of a compensation: what was acknowledged is there, and the rest is done once."""
    with (
        servers.running(servers.chosen()[0], synchronous_commit="on") as server,
        server.database() as url,
    ):
        with looking(url) as connection:
            make_places(connection, 1_000)
        with open_ledger(url) as ledger:
            execution = add_one(ledger, 100)
            work_on(url, execution, "batch")
            with looking(url) as connection:
                assert scores(connection) == {1: 1_000}
                check_invariants(connection, ledger=ledger, tables=["places"])
            undo = execution.undo(by="user:2").submit()
            work_on(url, undo, "compensation")
            with looking(url) as connection:
                assert scores(connection) == {0: 1_000}
                check_invariants(connection, ledger=ledger, tables=["places"])


def work_on(url: str, job: Handle, kind: str) -> None:
    """Do a job whose backend is killed at each step of one of its units."""
    worker = job.ledger.worker()
    if kind == "batch":
        assert worker.step(job.id)  # the plan
    for step in ("claimed", "applied", "appended", "before_commit"):
        done = job.progress().applied
        with struck(f"{kind}.{step}", 1, lambda: kill_backend(url)):
            assert worker.step(job.id)
        with looking(url) as connection:
            assert job.progress().applied == done, "what was not committed is not there"
            check_invariants(connection, tables=["places"], open_jobs=True)
        until(lambda: worker.step(job.id), "the next unit")
        assert job.progress().applied > done
    job.finish()
    assert job.status == "completed"


def kill_backend(url: str) -> None:
    """Kill the backend of the transaction at hand, and wait until the server has recovered from that."""
    with looking(url) as connection:
        (row,) = connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'action-ledger'"
            " AND state <> 'idle'"
        ).fetchall()
        os.kill(row["pid"], signal.SIGKILL)
        injected(4)
        until(lambda: not answers(connection), "the end of all sessions")
    until(lambda: connects(url), "the recovery")


def answers(connection: Connection[DictRow]) -> bool:
    try:
        connection.execute("SELECT")
    except psycopg.OperationalError:
        return False
    return True


def connects(url: str) -> bool:
    try:
        with looking(url):
            return True
    except psycopg.OperationalError:
        return False


# ---- 11: the disk is full


@contextmanager
def small_disk(server: TestServer, megabytes: int) -> Generator[Path]:
    """Mount a small disk of memory that the server may write to."""
    directory = Path(tempfile.mkdtemp(prefix="action-ledger-full-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        directory.rmdir()
        not_here(11, f"no disk can be mounted: {mounted.stderr.strip()[:60]}")
    try:
        account = server.server._account()
        os.chown(directory, *account)
        directory.chmod(0o700)
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)  # noqa: S607
        directory.rmdir()


@pytest.mark.crash
def test_disk_full() -> None:
    """53100: nothing is half done, others go on, and so does it as soon as there is space."""
    with (
        servers.running(servers.chosen()[0]) as server,
        small_disk(server, 5) as disk,
        server.database() as url,
        looking(url) as connection,
    ):
        connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'".encode())
        connection.execute("SET default_tablespace = small")
        make_places(connection, RECORDS)
        connection.execute("RESET default_tablespace")
        make_places(connection, 100, table="others")
        with open_ledger(url) as ledger:
            execution = add_one(ledger, 5_000)
            thread = threading.Thread(target=execution.finish)
            thread.start()
            try:
                until(lambda: full(connection), "a full disk")
                injected(11)
                other = add_one(ledger, 100, "others")
                other.finish()
                assert other.status == "completed"
                assert execution.status == "running"
                check_invariants(connection, ledger=ledger, open_jobs=True)
                done = execution.progress().applied
                assert scores(connection) == {
                    key: count for key, count in ((0, RECORDS - done), (1, done)) if count
                }
            finally:
                subprocess.run(
                    ["mount", "-o", "remount,size=200m", str(disk)],  # noqa: S607
                    check=True,
                )
                thread.join(60)
            assert not thread.is_alive()
            assert execution.status == "completed"
            assert scores(connection) == {1: RECORDS}
            assert execution.undo(by="user:2").run().status == "completed"
            assert scores(connection) == {0: RECORDS}
            check_invariants(connection, ledger=ledger, tables=["places", "others"])
        connection.execute("DROP TABLE places")
        connection.execute("DROP TABLESPACE small")


def full(connection: Connection[DictRow]) -> bool:
    found = connection.execute(
        "SELECT FROM action_ledger.work_queue WHERE last_error = '53100'"
    ).fetchall()
    return bool(found)


# ---- 22: the database moves


@pytest.mark.crash
def test_moved_to_a_younger_cluster() -> None:
    """In the middle of an execution and of a follower's way; there transactions have lower numbers."""
    versions = sorted(servers.found())
    old, new = versions[0], versions[-1]
    with (
        servers.running(old) as before,
        servers.running(new) as after,
        before.database() as url,
        looking(url) as connection,
    ):
        age(connection)
        make_places(connection, 1_000)
        with open_ledger(url) as ledger:
            low = ledger.on("places").where(col("id") <= 500)
            first = low.update(score=col("score") + 1).by("user:1").batch_size(100).submit()
            first.finish()
            ledger.catch_up()
            high = ledger.on("places").where(col("id") > 500)
            second = high.update(score=col("score") + 1).by("user:1").batch_size(100).submit()
            for _ in range(4):
                ledger.worker().step(second.id)
            undo = first.undo(by="user:2").on_conflict("skip").submit()
            ledger.worker().step(undo.id)
        with after.database(migrated=False) as target:
            move(after, url, target)
            with looking(target) as moved, open_ledger(target) as ledger, Watcher(target):
                assert number(moved) < number(connection)
                injected(22)
                ledger.execution(second.id).finish()
                for job in ledger.execution(first.id).undos():
                    job.finish()
                ledger.execution(second.id).undo(by="user:2").run()
                third = add_one(ledger, 100)
                third.finish()
                ledger.catch_up()
                assert third.status == "completed"
                counted = topics(moved)
                assert counted["execution.completed"] == 3
                assert len(ledger.audit(limit=1_000)) == sum(counted.values())
                check_invariants(moved, ledger=ledger, tables=["places"])


def age(connection: Connection[DictRow]) -> None:
    """Use up numbers of transactions."""
    for _ in range(3_000):
        connection.execute("SELECT pg_current_xact_id()")


def number(connection: Connection[DictRow]) -> int:
    row = connection.execute("SELECT pg_current_xact_id()::text::bigint AS n").fetchone()
    assert row is not None
    return int(row["n"])


def move(server: TestServer, url: str, target: str) -> None:
    dump = subprocess.run(
        [str(server.programs / "pg_dump"), "--dbname", url], check=True, capture_output=True
    )
    subprocess.run(
        [str(server.programs / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target],
        input=dump.stdout,
        check=True,
        capture_output=True,
    )
