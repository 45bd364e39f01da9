"""Connections: explicit transactions, READ COMMITTED, safe after a fork, and no password in any message."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from action_ledger.domain.errors import StoreUnavailable
from action_ledger.ops.database import Database, connect, with_defaults


def test_transactions_are_read_committed_whatever_the_default(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        statement = "ALTER DATABASE {} SET default_transaction_isolation = serializable"
        admin.execute(SQL(statement).format(Identifier(admin.info.dbname)))
    with (
        Database(database_url) as database,
        database.connection() as pooled,
        connect(database_url) as direct,
    ):
        for connection in (pooled, direct):
            with connection.transaction():
                assert connection.execute("SHOW transaction_isolation").fetchone() == {
                    "transaction_isolation": "read committed"
                }


def test_what_is_given_wins_over_our_defaults() -> None:
    assert "application_name=mine" in with_defaults("postgresql://h/d?application_name=mine")
    assert "application_name=action-ledger" in with_defaults("host=h dbname=d")
    assert "target_session_attrs" not in with_defaults("postgresql://one/d")
    assert "target_session_attrs=read-write" in with_defaults("postgresql://one,two:5433/d")
    assert "target_session_attrs=any" in with_defaults(
        "postgresql://one,two/d?target_session_attrs=any"
    )


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:s3cret@h/d", "postgresql://me:s3cret@h:port/d?no=1", "s3cret"]
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    for use in (connect, Database):
        with pytest.raises(StoreUnavailable) as raised:
            use(url)
        assert "s3cret" not in str(raised.value)
        assert raised.value.__cause__ is None


def test_a_server_that_is_not_there_is_a_typed_error_with_its_reason() -> None:
    nowhere = "postgresql://me:s3cret@/d?host=/nowhere"
    with pytest.raises(StoreUnavailable, match="nowhere") as raised:
        connect(nowhere)
    assert "s3cret" not in str(raised.value)
    with (
        Database(nowhere, timeout=0.2) as database,
        pytest.raises(StoreUnavailable, match="nowhere") as raised,
        database.connection(),
    ):
        pass
    assert "s3cret" not in repr(database) + str(raised.value)


def test_a_pool_that_is_used_up_says_so(database_url: str) -> None:
    with (
        Database(database_url, max_size=1, timeout=0.1) as database,
        database.connection(),
        pytest.raises(StoreUnavailable, match=r"0\.10 sec"),
        database.connection(),
    ):
        pass


def begin_and_fail(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("BEGIN")
        raise psycopg.OperationalError("mine")


def test_a_full_pool_of_dead_connections_costs_nobody_a_wait(database_url: str) -> None:
    """As after a restart of the server, or where a firewall ends what is idle."""
    all_lent = threading.Barrier(10)

    def hold(_: int) -> None:
        with database.connection():
            all_lent.wait(10)

    with Database(database_url) as database, psycopg.connect(database_url) as admin:
        with ThreadPoolExecutor(10) as threads:
            list(threads.map(hold, range(10)))
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'action-ledger'"
        ).fetchall()
        assert len(ended) == 10
        began = time.monotonic()
        with database.connection() as lent:
            assert lent.execute("SELECT 1 AS one").fetchone() == {"one": 1}
        assert time.monotonic() - began < 5  # it was half a minute, and then a refusal


def test_an_error_inside_is_not_taken_for_ours_and_the_connection_comes_back_clean(
    database_url: str,
) -> None:
    with Database(database_url, max_size=1) as database:
        with pytest.raises(psycopg.OperationalError, match="mine"):
            begin_and_fail(database)
        with database.connection() as connection:
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


FORKING = """
import os, sys
from action_ledger.ops.database import Database
database = Database(sys.argv[1], max_size=1)
def session():
    with database.connection() as connection:
        return connection.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"]
mine = session()
if (child := os.fork()) == 0:
    childs = session()
    database.close()
    os._exit(childs == mine or session() == mine)
assert os.waitpid(child, 0)[1] == 0
assert session() == mine
database.close()
"""


def test_a_forked_child_gets_a_pool_of_its_own(database_url: str) -> None:
    program = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        FORKING,
        database_url,
    ]
    done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.crash
def test_a_worker_that_is_killed_in_a_long_statement_gives_its_locks_up(database_url: str) -> None:
    """The server looks after its clients; by itself it would finish the statement first."""
    program = f"""
from action_ledger.ops.database import connect
connection = connect({database_url!r})
connection.execute("SELECT pg_advisory_lock(1), pg_sleep(60)")
"""
    question = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with psycopg.connect(database_url, autocommit=True) as watcher:

        def held() -> bool:
            return watcher.execute(question).fetchone() == (1,)

        worker = subprocess.Popen([sys.executable, "-c", program])
        try:
            wait_until(held)
            worker.kill()
            worker.wait()
            wait_until(lambda: not held())
        finally:
            worker.kill()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
