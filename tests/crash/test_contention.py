"""Several workers and foreign transactions in each other's way: everything completes, each record once."""

import threading
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from tests.crash.harness import (
    LONGEST,
    Watcher,
    children,
    finished,
    make_places,
    scores,
    topics,
    until,
)
from tests.faults import injected
from tests.invariants import check_invariants

RECORDS = 8_000
BATCH = 200
EIGHT = 8

crash = pytest.mark.crash
ISOLATIONS = [
    "repeatable read",
    pytest.param("read committed", marks=crash),
    pytest.param("serializable", marks=crash),
]


def add_one(ledger: Ledger, batch: int, table: str = "places") -> Request:
    return ledger.on(table).all().update(score=col("score") + 1).by("user:1").batch_size(batch)


def default(connection: Connection[DictRow], setting: str, value: str) -> None:
    """Set a default of the database, for sessions that are opened from now on."""
    connection.execute(
        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
            sql.Identifier(connection.info.dbname),
            sql.Identifier(setting),
            sql.Literal(value),  # pyright: ignore[reportArgumentType]
        )
    )


@contextmanager
def foreign(url: str, statement: str) -> Generator[Callable[[], None]]:
    """Hold what a statement locks, in a transaction of an outsider; gives the function that lets go."""
    with psycopg.connect(url, application_name="outsider") as outsider:
        outsider.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]
        yield outsider.rollback
        outsider.rollback()


@contextmanager
def working(*works: Callable[[], object]) -> Generator[None]:
    """Do things in threads of their own meanwhile; what one raises is raised here at the end."""
    died: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            traceback.print_exc()
            died.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)
    if died:
        raise died[0]


@pytest.mark.fault(7, 9)
@pytest.mark.parametrize(
    ("workers", "isolation"),
    [
        (2, "read committed"),
        (4, "repeatable read"),
        pytest.param(2, "repeatable read", marks=crash),
        pytest.param(4, "read committed", marks=crash),
        pytest.param(2, "serializable", marks=crash),
        pytest.param(4, "serializable", marks=crash),
    ],
)
def test_workers_on_one_execution(
    database_url: str, connection: Connection[DictRow], isolation: str, workers: int
) -> None:
    make_places(connection, RECORDS)
    default(connection, "default_transaction_isolation", isolation)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(ledger, BATCH).submit()
        finished(*[{"url": database_url, "job": execution.id}] * workers)
        assert scores(connection) == {1: RECORDS}
        counted = topics(connection)
        assert counted["execution.completed"] == 1
        assert counted["batch.completed"] == RECORDS // BATCH
        count_faults(connection)
        undo = execution.undo(by="user:2").submit()
        finished(*[{"url": database_url, "job": undo.id}] * workers)
        assert scores(connection) == {0: RECORDS}
        assert topics(connection)["undo.completed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.parametrize("queueing", [False, True], ids=["skip locked", "no skip locked"])
def test_eight_claim_at_once(
    database_url: str, connection: Connection[DictRow], *, queueing: bool
) -> None:
    """All are in the middle of a claim before the first gets on: each with a batch of its own, or all at the first one."""
    make_places(connection, RECORDS)
    order = {"url": database_url, "queueing": queueing}
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(ledger, BATCH).submit()
        assert ledger.worker().step(execution.id)  # the plan
        together(database_url, connection, *[order | {"job": execution.id}] * EIGHT)
        assert scores(connection) == {1: RECORDS}
        counted = topics(connection)
        assert counted["execution.completed"] == 1
        assert counted["batch.completed"] == RECORDS // BATCH
        if not queueing:
            assert workers(connection, "batch.completed") == EIGHT
        undo = execution.undo(by="user:2").submit()
        together(database_url, connection, *[order | {"job": undo.id}] * EIGHT)
        assert scores(connection) == {0: RECORDS}
        counted = topics(connection)
        assert counted["undo.completed"] == 1
        assert counted["batch.compensated"] == RECORDS // BATCH
        check_invariants(connection, ledger=ledger, tables=["places"])


def together(url: str, connection: Connection[DictRow], *orders: dict[str, Any]) -> None:
    """Run children that a lock on their table lets on only when all of them wait, for that or for one that does."""
    held = "LOCK TABLE places IN SHARE ROW EXCLUSIVE MODE"
    with foreign(url, held) as release, children(*orders) as started:
        until(lambda: waiting(connection) == len(orders), "a claim of each")
        injected(9, len(orders) - 1)
        release()
        for process in started:
            process.join(LONGEST)
            assert process.exitcode == 0


@pytest.mark.fault(7, 9)
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_threads_and_streaming(
    database_url: str, connection: Connection[DictRow], isolation: str
) -> None:
    make_places(connection, RECORDS)
    default(connection, "default_transaction_isolation", isolation)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(ledger, BATCH).streaming().run(workers=4)
        assert execution.status == "completed"
        assert scores(connection) == {1: RECORDS}
        assert topics(connection)["execution.completed"] == 1
        count_faults(connection)
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(7)
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_executions_that_meet_behind_a_trigger(
    database_url: str, connection: Connection[DictRow], isolation: str
) -> None:
    """In opposite order: some find their rows by the index, others as they lie, which is reversed.

    Their own records are locked for each; those that a trigger writes along are not.
    """
    records, share = 600, 150
    connection.execute("CREATE TABLE counted (id bigint PRIMARY KEY, n int NOT NULL)")
    connection.execute("INSERT INTO counted SELECT i, 0 FROM generate_series(0, %s) i", [share])
    connection.execute("CREATE TABLE places (id bigint PRIMARY KEY, score bigint NOT NULL)")
    connection.execute(
        "INSERT INTO places SELECT i, i FROM generate_series(%s, 1, -1) i", [records]
    )
    connection.execute("VACUUM ANALYZE places")
    connection.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN UPDATE counted SET n = n + 1 WHERE id = new.id % 150; PERFORM pg_sleep(0.0002); RETURN new; END'"
    )
    connection.execute(
        "CREATE TRIGGER dawdle BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
    default(connection, "default_transaction_isolation", isolation)
    default(connection, "deadlock_timeout", "20ms")
    upwards = "&options=-cenable_hashjoin%3Doff%20-cenable_mergejoin%3Doff%20-cenable_seqscan%3Doff"
    downwards = (
        "&options=-cenable_nestloop%3Doff%20-cenable_mergejoin%3Doff%20-cenable_indexscan%3Doff"
    )
    with open_ledger(database_url) as ledger, Watcher(database_url):
        executions = [
            ledger.on("places")
            .where((col("id") > n * share) & (col("id") <= (n + 1) * share))
            .update(score=col("score") + 1)
            .by("user:1")
            .batch_size(records)
            .submit()
            for n in range(4)
        ]
        finished(
            *[
                {"url": database_url + (upwards if n % 2 else downwards), "job": execution.id}
                for n, execution in enumerate(executions)
            ]
        )
        assert {execution.status for execution in executions} == {"completed"}
        assert scores(connection) == {1: records}
        assert max(attempts(connection)) > 1, "no deadlock came about: the test shows nothing"
        assert topics(connection)["execution.completed"] == 4
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(7)
@pytest.mark.every_postgres
def test_deadlock_with_an_outsider(database_url: str, connection: Connection[DictRow]) -> None:
    """40P01: the batch is the victim, is put off, and then takes its rows in order."""
    make_places(connection, 100)
    connection.execute("CREATE TABLE attempts (id int)")
    default(connection, "deadlock_timeout", "200ms")
    with open_ledger(database_url) as ledger, psycopg.connect(database_url) as outsider:
        execution = add_one(ledger, 100).submit()
        ledger.worker().step(execution.id)
        outsider.execute("SET deadlock_timeout = '1min'")
        outsider.execute("UPDATE places SET name = 'mine' WHERE id = 100")
        with working(lambda: ledger.worker().finish(execution.id)):
            until(lambda: waiting(connection) == 1)
            outsider.execute("UPDATE places SET name = 'mine' WHERE id = 1")
            outsider.commit()
        assert execution.status == "completed"
        assert scores(connection) == {1: 100}
        assert attempts(connection) == [2]
        check_invariants(connection, ledger=ledger, tables=["places"])


def waiting(connection: Connection[DictRow]) -> int:
    """Count the ledger's sessions that wait for a lock."""
    row = connection.execute(
        "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'action-ledger' AND wait_event_type = 'Lock'"
    ).fetchone()
    return row["waiting"] if row else 0


def count_faults(connection: Connection[DictRow]) -> None:
    """Count what really came about: attempts that were given up, and workers that had a part in the work."""
    injected(7, sum(attempt - 1 for attempt in attempts(connection)))
    injected(9, workers(connection, "batch.completed") - 1)


def workers(connection: Connection[DictRow], topic: str) -> int:
    """Count the workers that events of a topic are of."""
    row = connection.execute(
        "SELECT count(DISTINCT convert_from(state, 'UTF8')::jsonb ->> 'worker') AS workers"
        " FROM action_ledger.stored_events WHERE topic = %s",
        [topic],
    ).fetchone()
    assert row is not None
    return int(row["workers"])


def attempts(connection: Connection[DictRow]) -> list[int]:
    """Give the attempts that the batches took, by their numbers."""
    rows = connection.execute(
        "SELECT (convert_from(state, 'UTF8')::jsonb ->> 'attempt')::int AS attempt"
        " FROM action_ledger.stored_events WHERE topic = 'batch.completed'"
        " ORDER BY (convert_from(state, 'UTF8')::jsonb ->> 'number')::int"
    ).fetchall()
    return [row["attempt"] for row in rows]
