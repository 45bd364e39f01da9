"""Workers as services: told to stop, killed, and left without their server; work is done once, and nothing is left."""

import signal
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.handles import ExecutionHandle
from tests import servers
from tests.crash.harness import make_places, scores, topics
from tests.faults import injected
from tests.invariants import check_invariants
from tests.mailer import EFFECTS, calls, lines
from tests.servers import TestServer
from tests.services import serving
from tests.worker_process import held, roster, states, until, waiting, worker

pytestmark = pytest.mark.slow

RECORDS = 1_000
HELD = "UPDATE places SET name = 'mine' WHERE id = 150"


@pytest.fixture
def ledger(database_url: str, connection: Connection[DictRow]) -> Generator[Ledger]:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as opened:
        yield opened


def submit(ledger: Ledger, batch: int = 100) -> ExecutionHandle:
    request = ledger.on("places").all().update(score=col("score") + 1).by("user:1")
    return request.batch_size(batch).submit()


def test_sigterm_in_the_middle_of_a_batch(
    database_url: str, connection: Connection[DictRow], ledger: Ledger
) -> None:
    """The batch is committed, the worker leaves with 0, and its row is gone."""
    execution = submit(ledger, RECORDS)
    with worker(database_url) as process:
        with held(database_url, HELD):
            until(lambda: waiting(connection), "the batch's wait")
            process.send(signal.SIGTERM)
            until(lambda: states(connection) == ["stopping"], "the roster's notice")
            (row,) = roster(connection)
            assert [unit["kind"] for unit in row["units"]] == ["batch"]
            time.sleep(0.3)
            assert process.process.poll() is None, "it left its batch"
            assert scores(connection) == {0: RECORDS}
        assert process.end() == 0, process.log
        assert "finishing the batch at hand" in process.log
    assert execution.status == "completed"
    assert scores(connection) == {1: RECORDS}
    assert roster(connection) == []
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
def test_a_second_signal_ends_it_at_once(
    database_url: str, connection: Connection[DictRow], ledger: Ledger
) -> None:
    """What was not committed is undone, and the locks are free as soon as it is gone."""
    execution = submit(ledger, RECORDS)
    with worker(database_url) as process, held(database_url, HELD):
        until(lambda: waiting(connection), "the batch's wait")
        process.send(signal.SIGTERM)
        until(lambda: "Once more" in process.log)
        process.send(signal.SIGTERM)
        assert process.end(10) == 130
        assert waiting(connection) == 0, "the statement still runs"
        assert "can be neither" not in process.log
        assert roster(connection) == []
        assert scores(connection) == {0: RECORDS}
    execution.finish()
    assert scores(connection) == {1: RECORDS}
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_killed_worker_is_lost_and_its_work_goes_on_elsewhere(
    database_url: str, connection: Connection[DictRow], ledger: Ledger
) -> None:
    lease = 1
    execution = submit(ledger, RECORDS)
    with (
        worker(database_url, "--name", "first", lease_seconds=lease) as first,
        worker(database_url, "--name", "second", lease_seconds=lease, poll_seconds=1) as second,
    ):
        with held(database_url, HELD):
            until(lambda: waiting(connection), "the batch's wait")
            until(lambda: in_batch(connection), "the roster's notice")
            (busy,) = in_batch(connection)
            dying, other = (first, second) if busy["pid"] == first.pid else (second, first)
            dying.process.kill()
            injected(1)
            dying.process.wait()
        # The server sees after five seconds at most that nobody is at the other end, then the other takes it up.
        until(lambda: execution.status == "completed", "the end")
        until(lambda: [w.state for w in ledger.workers() if not w.alive] == ["lost"])
        (lost,) = [view for view in ledger.workers() if not view.alive]
        assert lost.pid == dying.pid
        assert [unit.kind for unit in lost.units] == ["batch"]
        other.send(signal.SIGTERM)
        assert other.end() == 0
    assert scores(connection) == {1: RECORDS}
    assert [row["pid"] for row in roster(connection)] == [dying.pid]
    # Another takes the row away when it has been there for long.
    connection.execute("UPDATE action_ledger.workers SET heartbeat_at = now() - interval '25 h'")
    with worker(database_url) as third:
        until(lambda: [row["pid"] for row in roster(connection)] == [third.pid])
    check_invariants(connection, ledger=ledger, tables=["places"])


def in_batch(connection: Connection[DictRow]) -> list[DictRow]:
    """Give the workers that say that they have a batch in hand."""
    return [
        row for row in roster(connection) if any(unit["kind"] == "batch" for unit in row["units"])
    ]


@pytest.mark.crash
def test_four_at_once_in_one_process(
    database_url: str, connection: Connection[DictRow], ledger: Ledger
) -> None:
    execution = submit(ledger, 20)
    with worker(database_url, "--concurrency", "4") as process:
        with held(database_url, "UPDATE places SET name = 'mine' WHERE id IN (10, 30, 50, 70)"):
            until(lambda: waiting(connection) == 4, "four batches that wait")
            until(lambda: len(roster(connection)[0]["units"]) == 4, "the roster's notice")
            threads = {unit["thread"] for unit in roster(connection)[0]["units"]}
            assert threads == {1, 2, 3, 4}
        until(lambda: execution.status == "completed")
        process.send(signal.SIGTERM)
        assert process.end() == 0
    assert scores(connection) == {1: RECORDS}
    assert topics(connection)["batch.completed"] == 50
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.parametrize(
    ("limit", "said"), [(("--max-units", "3"), "3 units"), (("--max-memory", "1"), "MB are taken")]
)
def test_a_limit_ends_it_after_its_batch(
    database_url: str,
    connection: Connection[DictRow],
    ledger: Ledger,
    limit: tuple[str, str],
    said: str,
) -> None:
    """A supervisor that starts it again brings the work to its end."""
    execution = submit(ledger, 250)
    with worker(database_url, *limit) as process:
        assert process.end() == 6
        assert said in process.log
    assert roster(connection) == []
    assert topics(connection).get("batch.completed", 0) == (2 if "units" in said else 0)
    assert execution.status == "running"
    with worker(database_url, "--until-idle") as process:
        assert process.end() == 0
    assert scores(connection) == {1: RECORDS}
    check_invariants(connection, ledger=ledger, tables=["places"])


# ---- the server goes


@pytest.fixture
def own_server() -> Generator[TestServer]:
    """A server that may be stopped without harm to other tests."""
    with servers.running(servers.chosen()[0]) as running:
        yield running


def restart(server: TestServer, *, away: float = 0) -> None:
    """Crash it, and start it again after so many seconds."""
    server.server._run("pg_ctl", ["stop", "-w", "-m", "immediate"])
    injected(4)
    time.sleep(away)
    server.server.start()


@contextmanager
def durable(url: str) -> Generator[Ledger]:
    """Open a ledger whose acknowledged commits survive a crash; other tests do without that."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        make_places(connection, RECORDS)
        statement = f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = on"
        connection.execute(statement.encode())
    with open_ledger(url) as ledger:
        yield ledger


@pytest.mark.crash
def test_the_server_crashes_under_an_idle_and_a_busy_worker(own_server: TestServer) -> None:
    with own_server.database() as url, durable(url) as ledger:
        with worker(url, "--concurrency", "2", lease_seconds=2, poll_seconds=600) as process:
            until(lambda: [view.state for view in ledger.workers()] == ["idle"])
            restart(own_server)
            execution = submit(ledger)  # the pool has outlived it too
            until(lambda: execution.status == "completed", "work after an idle worker's outage")
            until(lambda: [view.state for view in ledger.workers()] == ["idle"])
            with closing(psycopg.connect(url)) as other:
                other.execute(HELD.encode())
                execution = submit(ledger, RECORDS)
                with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
                    until(lambda: waiting(connection), "the batch's wait")
                restart(own_server)
            until(lambda: execution.status == "completed", "work after a busy worker's outage")
            assert process.process.poll() is None
            process.send(signal.SIGTERM)
            assert process.end() == 0
            assert "out of reach" in process.log
            assert "is back" in process.log
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            assert scores(connection) == {2: RECORDS}
            assert roster(connection) == []
            check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
def test_the_server_is_away_for_a_moment_while_letters_are_sent(
    own_server: TestServer, tmp_path: Path
) -> None:
    """What has come of each is remembered until it can be kept: nobody gets a second one."""
    log = tmp_path / "letters"
    with own_server.database() as url, durable(url), open_ledger(url, actions=EFFECTS) as ledger:
        request = ledger.on("places").keys(range(1, 21)).apply("letter", log=str(log), seconds=0.1)
        with serving(ledger.service()):
            execution = request.by("user:1").submit()
            until(lambda: len(lines(log)) > 8, "the first letters")
            restart(own_server, away=1)
            until(lambda: execution.status == "completed", "the end")
        assert set(calls(log).values()) == {1}
        assert len(calls(log)) == execution.progress().applied == 20
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.fault(4)
def test_a_worker_waits_for_a_server_that_is_not_up_yet(own_server: TestServer) -> None:
    with own_server.database() as url:
        with open_ledger(url) as ledger:
            with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
                make_places(connection, RECORDS)
            execution = submit(ledger)
        own_server.server.stop()
        with worker(url, pool_timeout_seconds=0.3) as process:
            until(lambda: "Again in" in process.log)
            own_server.server.start()
            with open_ledger(url) as ledger:
                until(lambda: ledger.execution(execution.id).status == "completed")
            process.send(signal.SIGTERM)
            assert process.end() == 0
        own_server.server.stop()
        with worker(url, pool_timeout_seconds=0.3) as process:
            until(lambda: "Again in" in process.log)
            process.send(signal.SIGTERM)
            assert process.end() == 0, "told to stop before it began"
        own_server.server.start()


def test_the_same_service_in_the_hosts_own_process(
    connection: Connection[DictRow], ledger: Ledger
) -> None:
    """``Ledger.work`` is the same service, in a thread of the host's."""
    execution = submit(ledger)
    ledger.work(lambda: execution.status == "completed", concurrency=2)
    assert scores(connection) == {1: RECORDS}
    assert roster(connection) == []
    pool = ledger._database.pool.get_stats()["pool_size"]
    until(lambda: sessions(connection) == pool, "the end of the service's sessions")


def sessions(connection: Connection[DictRow]) -> int:
    """Count the ledger's sessions."""
    rows = connection.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'action-ledger'"
    )
    return len(rows.fetchall())
