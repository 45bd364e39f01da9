"""Workers with record actions are killed and frozen in the middle: nothing is applied twice, and undo is exact."""

import os
import signal
import time

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
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
from tests.crash.test_frozen import stopped
from tests.faults import injected
from tests.images import rows_now
from tests.invariants import check_invariants
from tests.shop import ACTIONS

RECORDS = 1_200
BATCH = 600
"""More than a page: a batch may be left with one page written, and none committed."""


@pytest.mark.crash
def test_a_worker_killed_in_the_middle_of_a_batch(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """The second page of a batch is called for when the worker dies: the batch begins anew, on the records as they are."""
    make_places(connection, RECORDS)
    before = rows_now(connection, "places")
    with open_ledger(database_url, actions=ACTIONS) as ledger, Watcher(database_url):
        request = ledger.on("places").all().apply("rename", suffix="+").by("u")
        execution = request.batch_size(BATCH).submit()
        order = {"url": database_url, "job": execution.id}
        killed({**order, "step": "records.called", "at": 2})
        injected(12)
        assert scores(connection) == {0: RECORDS}
        # What is at hand when the function is called again is the record as it is by then.
        connection.execute("UPDATE places SET name = 'theirs' WHERE id = 1")
        killed({**order, "step": "records.written", "at": 3})
        injected(12)
        assert scores(connection) == {0: BATCH, 1: BATCH}
        check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)
        finished(order)
        assert scores(connection) == {1: RECORDS}
        names = {key[0]: row["name"] for key, row in rows_now(connection, "places").items()}
        assert names["1"] == "theirs+"
        assert all(name == f"place {id_}+" for id_, name in names.items() if id_ != "1")
        undo = execution.undo(by="u").run()
        assert undo.progress().applied == RECORDS
        after = rows_now(connection, "places")
        assert {key for key in after if after[key] != before[key]} == {("1",)}
        assert topics(connection)["batch.completed"] == RECORDS // BATCH
        ledger.catch_up()
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
def test_a_worker_frozen_within_a_call_loses_its_locks(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server waits as long as a call may take, and half a lease period, and not longer."""
    monkeypatch.setenv("ACTION_LEDGER_LEASE_SECONDS", "1")
    make_places(connection, 20)
    with open_ledger(database_url, actions=ACTIONS) as ledger:
        execution = ledger.on("places").all().apply("rename", seconds=0.1).by("u").submit()
        ledger.worker().step(execution.id)
        order = {"url": database_url, "job": execution.id, "lease_seconds": 1}
        with children({**order, "step": "records.locked", "signal": "SIGSTOP"}) as (frozen,):
            assert frozen.pid is not None
            pid = frozen.pid
            until(lambda: stopped(pid), "the worker stands still")
            injected(1)
            started = time.monotonic()
            finished(order)
            assert 0.4 < time.monotonic() - started < 15
            os.kill(pid, signal.SIGCONT)
            frozen.join(30)
        assert scores(connection) == {1: 20}
        assert topics(connection)["batch.completed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])
