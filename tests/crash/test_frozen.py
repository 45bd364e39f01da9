"""A worker that is stopped, not killed: the server ends its transaction within its lease, and others go on."""

import os
import signal
import time

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import open_ledger
from tests.crash.harness import Watcher, children, make_places, scores, topics, until
from tests.faults import injected
from tests.invariants import check_invariants

LEASE = 2.0


@pytest.mark.parametrize("step", ["batch.applied", "batch.appended"])
def test_frozen_and_thawed(
    database_url: str,
    connection: Connection[DictRow],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """In the second place it holds the append lock, which all others need."""
    monkeypatch.setenv("ACTION_LEDGER_LEASE_SECONDS", str(LEASE))
    make_places(connection, 500)
    make_places(connection, 100, table="others")
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = (
            ledger.on("places")
            .all()
            .update(score=col("score") + 1)
            .by("user:1")
            .batch_size(100)
            .submit()
        )
        order = {
            "url": database_url,
            "job": execution.id,
            "step": step,
            "at": 2,
            "signal": "SIGSTOP",
            "lease_seconds": LEASE,
        }
        with children(order) as (worker,):
            assert worker.pid is not None
            until(lambda: stopped(worker.pid or 0), "the worker's stop")
            injected(2)
            started = time.monotonic()
            other = ledger.on("others").all().update(score=col("score") + 1).by("user:2").run()
            assert other.status == "completed"
            ledger.worker().finish(execution.id)
            assert time.monotonic() - started < 2 * LEASE
            assert execution.status == "completed"
            assert scores(connection) == {1: 500}
            os.kill(worker.pid, signal.SIGCONT)
            worker.join(30)
            assert worker.exitcode == 0, "thawed, it finds that its work is done"
        assert scores(connection) == {1: 500}
        assert topics(connection)["batch.completed"] == 6
        check_invariants(connection, ledger=ledger, tables=["places", "others"])


def stopped(pid: int) -> bool:
    """Look whether a process stands still."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] == "T"
