"""Rate, concurrency and splits with workers in processes of their own, which are killed on the way."""

import os
import signal
import time

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
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
from tests.invariants import check_invariants
from tests.splits import splits

RECORDS = 2_000

AT_WORK = (
    "SELECT count(*) AS slots, count(DISTINCT pid) AS workers, array_agg(pid) AS pids FROM pg_locks"
    " WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def add_one(ledger: Ledger, size: int) -> Request:
    return ledger.on("places").all().update(score=col("score") + 1).by("a").batch_size(size)


def slow(connection: Connection[DictRow], seconds: float) -> None:
    connection.execute(
        "CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        f" 'BEGIN PERFORM pg_sleep({seconds}); RETURN new; END'"
    )
    connection.execute(
        "CREATE OR REPLACE TRIGGER dawdle BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )


def slots(connection: Connection[DictRow]) -> int:
    row = connection.execute(AT_WORK).fetchone()
    return row["slots"] if row else 0


@pytest.mark.slow
def test_concurrency_is_never_exceeded_and_freed_by_death(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """Four workers, two places; one that holds a place is killed, and another takes it."""
    make_places(connection, RECORDS)
    slow(connection, 0.001)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(ledger, 50).concurrency(2).submit()
        ledger.worker().step(execution.id)
        stuck = {
            "url": database_url,
            "job": execution.id,
            "step": "batch.claimed",
            "signal": "SIGSTOP",
        }
        with children(*[{**stuck, "lease_seconds": 600}] * 2) as frozen:
            until(lambda: slots(connection) == 2)
            assert not ledger.worker().step(execution.id), "both places are taken"
            assert execution.progress().applied == 0
            os.kill(frozen[0].pid or 0, signal.SIGKILL)
            until(lambda: ledger.worker().step(execution.id))
            os.kill(frozen[1].pid or 0, signal.SIGKILL)
        seen: list[int] = []
        with children(*[{"url": database_url, "job": execution.id}] * 4) as workers:
            while execution.status != "completed":
                seen.append(slots(connection))
            for worker in workers:
                worker.join(10)
        assert max(seen) == 2
        assert scores(connection) == {1: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(9)
@pytest.mark.slow
def test_a_rate_is_held_by_processes_together(
    database_url: str, connection: Connection[DictRow]
) -> None:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = (
            add_one(ledger, 500).rate(400).adaptive(seconds=0.25, minimum=1, maximum=500).submit()
        )
        finished(*[{"url": database_url, "job": execution.id}] * 2)
        row = connection.execute(
            "SELECT count(*) AS batches, extract(epoch FROM max(recorded_at) - min(recorded_at))::float8 AS seconds"
            " FROM action_ledger.stored_events WHERE topic = 'batch.completed'"
        ).fetchone()
        assert row is not None
        measured = RECORDS * (1 - 1 / row["batches"]) / row["seconds"]
        assert 200 < measured < 480
        assert scores(connection) == {1: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("step", ["batch.cut", "batch.split"])
@pytest.mark.parametrize("planning", ["gated", "streaming"])
def test_killed_in_a_split(
    database_url: str, connection: Connection[DictRow], step: str, planning: str
) -> None:
    """Nothing of it stays, and the next worker splits again: also while it is still being planned."""
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        request = add_one(ledger, 100).rate(100_000).adaptive(seconds=0.1, minimum=5, maximum=100)
        execution = (request.streaming() if planning == "streaming" else request).submit()
        ledger.worker().step(execution.id)
        noted = "INSERT INTO action_ledger.paces (job_id, records_per_second) VALUES (%s, %s)"
        connection.execute(noted, [execution.id, 200])
        order = {"url": database_url, "job": execution.id, "step": step}
        # One after the other: what is quick is soon no longer split, so a second split may never come.
        assert killed(order) + killed(order) == 2
        check_invariants(connection, open_jobs=True)
        finished(*[{"url": database_url, "job": execution.id}] * 2)
        assert scores(connection) == {1: RECORDS}
        counted = topics(connection)
        assert counted["batch.split"] == len(splits(connection)) > 0
        assert counted["execution.completed"] == 1
        undo = execution.undo(by="b").submit()
        finished(*[{"url": database_url, "job": undo.id}] * 2)
        assert scores(connection) == {0: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(6, 15)
@pytest.mark.slow
def test_a_record_that_hangs_does_not_hold_up_the_others(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """1 of 2,000 hangs: found in about log2 n time-outs, while another worker does the rest."""
    make_places(connection, RECORDS)
    connection.execute(
        "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF new.id = 777 THEN PERFORM pg_sleep(60); END IF; RETURN new; END'"
    )
    connection.execute(
        "CREATE TRIGGER hang BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION hang()"
    )
    connection.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = ''500ms''', current_database()); END $$"
    )
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 1_000).submit()
        started = time.monotonic()
        finished(*[{"url": database_url, "job": execution.id}] * 2)
        seconds = time.monotonic() - started
        assert [failed.key for failed in execution.failures()] == [("777",)]
        assert execution.progress().applied == RECORDS - 1
        timed_out = [split for split in splits(connection) if split[1] == "timed_out"]
        assert len(timed_out) == 10
        assert seconds < 40
        check_invariants(connection, ledger=ledger, tables=["places"])
