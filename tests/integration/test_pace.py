"""Rate, concurrency and sizes that follow the time: what workers keep of an execution's pace, and act on."""

import threading
import time
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from action_ledger.domain import col
from action_ledger.domain.commands import RetuneExecution
from action_ledger.domain.errors import InvalidParameters
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.workers import loop
from action_ledger.workers.claim import SQL, claim
from tests.images import rows_now
from tests.integration.test_splits import trigger
from tests.invariants import check_invariants
from tests.splits import splits

SECOND = Settings.model_validate({"batch_target_seconds": 0.2, "batch_min_size": 1})


@pytest.fixture(autouse=True)
def _many(connection: Connection[DictRow]) -> None:
    connection.execute("CREATE TABLE places (id bigint PRIMARY KEY, score bigint NOT NULL)")
    connection.execute("INSERT INTO places SELECT i, i FROM generate_series(1, 2000) i")


def add_one(ledger: Ledger, size: int = 2_000) -> Request:
    return ledger.on("places").all().update(score=col("score") + 1).by("a").batch_size(size)


def of_share(ledger: Ledger, n: int, shares: int, size: int) -> Request:
    """The same on one of so many shares: executions that overlap would be refused."""
    width = 2_000 // shares
    chosen = (col("id") > n * width) & (col("id") <= (n + 1) * width)
    return ledger.on("places").where(chosen).update(score=col("score") + 1).by("a").batch_size(size)


def retune(ledger: Ledger, execution_id: UUID, **values: Any) -> None:
    command = {"command_id": uuid7(), "actor": "b", "execution_id": execution_id, **values}
    ledger.handle(RetuneExecution.model_validate(command))


def times(connection: Connection[DictRow], topic: str = "batch.completed") -> list[DictRow]:
    """Give when batches were recorded, and how many records they had."""
    return connection.execute(
        "SELECT extract(epoch FROM recorded_at)::float8 AS at,"
        " (convert_from(state, 'UTF8')::jsonb -> 'tally' ->> 'applied')::int AS records"
        " FROM action_ledger.stored_events WHERE topic = %s ORDER BY notification_id",
        [topic],
    ).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_rate_is_held(database_url: str, connection: Connection[DictRow], workers: int) -> None:
    """2,000 records at 500 a second take four seconds, evenly, whoever works on them."""
    before = rows_now(connection, "places")
    with open_ledger(database_url, settings=SECOND) as ledger:
        execution = add_one(ledger).rate(500).run(workers=workers)
        done = times(connection)
        # What the first batches had was not waited for.
        seconds = done[-1]["at"] - done[0]["at"]
        measured = sum(row["records"] for row in done[1:]) / seconds
        assert 300 < measured < 600
        assert max(row["records"] for row in done) <= 150
        halves = Counter(
            row["at"] - done[0]["at"] < seconds / 2 for row in done for _ in range(row["records"])
        )
        assert 0.6 < halves[True] / halves[False] < 1.7
        assert {reason for _, reason, _, _ in splits(connection)} == {"rate"}
        check_invariants(connection, ledger=ledger, tables=["places"])
        execution.undo(by="b").run(workers=workers).redo(by="b").run().redo(by="b").run()
        assert rows_now(connection, "places") == before


def test_a_rate_that_is_raised_counts_at_once(
    database_url: str, connection: Connection[DictRow]
) -> None:
    with open_ledger(database_url, settings=SECOND) as ledger:
        execution = add_one(ledger, 50).rate(0.01).submit()
        worker = ledger.worker()
        while worker.step(execution.id):
            pass
        assert execution.progress().applied == 1, "the second is due in 100 seconds"
        retune(ledger, execution.id, rate=1_000_000)
        started = time.monotonic()
        worker.finish(execution.id)
        assert time.monotonic() - started < 20
        assert execution.status == "completed"
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_rate_that_is_lowered_acts_within_one_batch(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """Also what was booked in one go by a batch that was cut before does not stand in the way for long."""
    with open_ledger(database_url, settings=SECOND) as ledger:
        execution = add_one(ledger, 500).submit()
        worker = ledger.worker()
        worker.step(execution.id)
        worker.step(execution.id)
        assert execution.progress().applied == 500
        retune(ledger, execution.id, rate=20)
        worker.step(execution.id)
        assert splits(connection) == [(2, "rate", 500, 100)]
        worker.step(execution.id)
        assert not worker.step(execution.id)
        assert execution.progress().applied == 505
        retune(ledger, execution.id, rate="unlimited")
        worker.finish(execution.id)
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_one_batch_books_no_more_than_a_little(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate came while a large batch was at work: the next does not wait for hours."""
    with open_ledger(database_url, settings=SECOND) as ledger:
        execution = add_one(ledger, 1_000).rate(1_000_000).submit()
        worker = ledger.worker()
        worker.step(execution.id)

        def later(*args: Any, **options: Any) -> Any:
            unit = claim(*args, **options)
            retune(ledger, execution.id, rate=0.5)
            return unit

        monkeypatch.setattr(loop, "claim", later)
        worker.step(execution.id)
        row = connection.execute(
            "SELECT extract(epoch FROM next_at - clock_timestamp())::float8 AS left FROM action_ledger.paces"
        ).fetchone()
        assert row is not None
        assert row["left"] <= 2


def test_a_held_or_full_job_does_not_keep_workers_from_others(
    database_url: str, connection: Connection[DictRow]
) -> None:
    with open_ledger(database_url, settings=SECOND) as ledger:
        slow = of_share(ledger, 0, 4, 100).rate(0.1).queue("default", priority=5).submit()
        full = of_share(ledger, 1, 4, 100).concurrency(1).queue("default", priority=4).submit()
        free = of_share(ledger, 2, 4, 100).submit()
        worker = ledger.worker()
        while worker.step(slow.id):
            pass
        worker.step(full.id)
        taken = "SELECT pg_advisory_lock(hashtextextended('action_ledger.slot.' || %s || '.1', 0))"
        connection.execute(taken, [str(full.id)])
        while worker.step():
            pass
        assert free.status == "completed"
        assert full.progress().applied == 0
        connection.execute(taken.replace("_lock(", "_unlock("), [str(full.id)])
        worker.finish(full.id)
        assert full.status == "completed"
        check_invariants(connection, ledger=ledger, open_jobs=True)


@pytest.mark.slow
def test_sizes_follow_the_time(database_url: str, connection: Connection[DictRow]) -> None:
    """Records that take 2 ms: batches go from 10 to about 100, and after they take 10 ms, to about 20."""
    trigger(connection, "PERFORM pg_sleep(0.002)")
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 10).adaptive(seconds=0.2, minimum=5, maximum=400).submit()
        worker = ledger.worker()
        while execution.progress().applied < 1_200:
            worker.step(execution.id)
        sizes = [row["records"] for row in times(connection)]
        assert sizes[0] == 10
        assert 40 <= sizes[-1] <= 130
        trigger(connection, "PERFORM pg_sleep(0.01)")
        while execution.progress().applied < 1_900:
            worker.step(execution.id)
        assert 10 <= times(connection)[-1]["records"] <= 60
        connection.execute("DROP TRIGGER meddle ON places")
        worker.finish(execution.id)
        assert {reason for _, reason, _, _ in splits(connection)} == {"pace"}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize(("speed", "page"), [(300, 30), (100_000, 300), (1, 5)])
def test_a_streaming_plan_follows_too(
    database_url: str, connection: Connection[DictRow], speed: int, page: int
) -> None:
    """It goes on with pages of the size that is wanted by then; numbers never meet those of parts."""
    with open_ledger(database_url) as ledger:
        execution = (
            add_one(ledger, 100).adaptive(seconds=0.1, minimum=5, maximum=300).streaming().submit()
        )
        worker = ledger.worker()
        worker.step(execution.id)
        noted = "INSERT INTO action_ledger.paces (job_id, records_per_second) VALUES (%s, %s)"
        connection.execute(noted, [execution.id, speed])
        worker.step(execution.id)
        execution.finish(workers=2)
        planned = connection.execute(
            "SELECT number, records FROM action_ledger.key_sets WHERE split_from IS NULL ORDER BY number"
        ).fetchall()
        assert [row["number"] for row in planned] == list(range(1, len(planned) + 1))
        assert [row["records"] for row in planned[:8]] == [100] * 4 + [page] * 4
        assert execution.progress().applied == 2_000
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_without_a_wish_only_what_takes_far_too_long_is_split(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """And while nothing does, nothing is kept: the usual batch costs no statement more."""
    with open_ledger(database_url, settings=SECOND) as ledger:
        execution = add_one(ledger, 200).submit()
        worker = ledger.worker()
        for _ in range(3):
            worker.step(execution.id)
        assert not connection.execute("SELECT FROM action_ledger.paces").fetchall()
        trigger(connection, "PERFORM pg_sleep(0.004)")
        for _ in range(4):
            worker.step(execution.id)
        assert {reason for _, reason, _, _ in splits(connection)} == {"pace"}
        connection.execute("DROP TRIGGER meddle ON places")
        worker.finish(execution.id)
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_the_claim_is_quick_in_a_long_queue(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """2,000 units of 20 jobs: the units of one job are looked at, in the order of its index."""
    with open_ledger(database_url) as ledger:
        for n in range(20):
            command = of_share(ledger, n, 20, 1).queue("default", priority=n % 3).command()
            ledger.handle(command, now=True)
        connection.execute("ANALYZE")
        values: dict[str, Any] = {"job": None, "queues": None, "actions": ["update"], "without": []}
        with ledger.store.transaction() as transaction:
            statement = transaction.compose(SQL["claim"], jobs=transaction.compose(SQL["any_job"]))
            explained = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + statement
            row = transaction.cursor.execute(explained, values).fetchone()
        assert row is not None
        (plan,) = row["QUERY PLAN"]
        assert plan["Execution Time"] < 5
        scans = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") == "work_queue"]
        assert scans
        assert all(node["Node Type"] != "Seq Scan" for node in scans)
        assert sum(node["Actual Rows"] * node["Actual Loops"] for node in scans) < 300


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a plan's nodes."""
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes(child))]


def test_wishes_that_make_no_sense_are_refused(
    database_url: str, connection: Connection[DictRow]
) -> None:
    with open_ledger(database_url) as ledger:
        for request in (
            add_one(ledger).rate(0),
            add_one(ledger).concurrency(0),
            add_one(ledger).adaptive(minimum=50, maximum=10),
            add_one(ledger).adaptive(seconds=0),
        ):
            with pytest.raises(InvalidParameters):
                request.command()
        assert not connection.execute("SELECT FROM action_ledger.stored_events").fetchall()


def test_threads_share_slots(database_url: str, connection: Connection[DictRow]) -> None:
    """Four workers of one process, two places: never three batches at work."""
    trigger(connection, "PERFORM pg_sleep(0.0005)")
    seen: list[int] = []
    stop = threading.Event()
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 100).concurrency(2).submit()

        def look() -> None:
            while not stop.is_set():
                rows = connection.execute(
                    "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND granted"
                    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                ).fetchall()
                seen.append(rows[0]["n"])

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            execution.finish(workers=4)
        finally:
            stop.set()
            watcher.join()
        assert max(seen) == 2
        assert execution.progress().applied == 2_000
        check_invariants(connection, ledger=ledger, tables=["places"])
