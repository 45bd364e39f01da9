"""A right that is taken away in mid-run, with workers in processes of their own that ask the host's own tables."""

import sys
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import NotAuthorized
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.ops.app import load_ledger
from action_ledger.workers.sweep import sweep
from tests.integration.test_once import total
from tests.invariants import check_invariants
from tests.worker_process import until, worker

HOST = """
import os
import time

import psycopg

from action_ledger.domain import Parameters, effect
from action_ledger.ops import open_ledger

URL = os.environ["ACTION_LEDGER_DATABASE_URL"]


@effect
def call(record, parameters: Parameters, context):
    "Call somebody."
    time.sleep(0.01)


def authorize(actor, command, phase):
    with psycopg.connect(URL) as connection:
        granted = connection.execute(
            "SELECT count(*) FROM grants WHERE subject = %s AND phase = %s", [actor.subject, phase]
        ).fetchone()[0]
    return granted == 1


def ledger():
    return open_ledger(actions=[call], authorize=authorize)
"""
APP = "host_rights:ledger"
WORKERS = 2
BATCH = 2

pytestmark = [pytest.mark.fault(18), pytest.mark.usefixtures("places")]


@pytest.fixture
def host(
    database_url: str, connection: Connection[DictRow], tmp_path: Path, monkeypatch: Any
) -> Generator[Ledger]:
    """The host's ledger in this process; its workers are to find the same module. Writes of a place are slow."""
    (tmp_path / "host_rights.py").write_text(HOST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ACTION_LEDGER_DATABASE_URL", database_url)
    connection.execute("CREATE TABLE grants (subject text, phase text)")
    connection.execute(
        "INSERT INTO grants SELECT s, p FROM unnest('{alice,carol}'::text[]) s,"
        " unnest('{request,batch,undo,steer}'::text[]) p"
    )
    connection.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$"
    )
    connection.execute(
        "CREATE TRIGGER slow AFTER UPDATE ON places FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    )
    with load_ledger(APP) as ledger:
        yield ledger
    del sys.modules["host_rights"]


def revoke(connection: Connection[DictRow], subject: str) -> None:
    connection.execute("DELETE FROM grants WHERE subject = %s", [subject])


def submitted(ledger: Ledger, kind: str) -> ExecutionHandle:
    target = ledger.on("places").all()
    request = target.apply("call") if kind == "effect" else target.update(score=col("score") + 1)
    request = request.by("alice").batch_size(BATCH)
    return (request.streaming() if kind == "streaming" else request).submit()


def swept(ledger: Ledger, connection: Connection[DictRow]) -> bool:
    """Take what is left off the queue, and say whether nobody has anything in hand any more."""
    sweep(ledger.store)
    return connection.execute("SELECT FROM action_ledger.work_queue").fetchone() is None


@pytest.mark.parametrize("kind", ["gated", "streaming", "effect"])
def test_it_stops_at_its_next_batch(
    database_url: str, connection: Connection[DictRow], host: Ledger, kind: str
) -> None:
    execution = submitted(host, kind)
    with ExitStack() as processes:
        for _ in range(WORKERS):
            processes.enter_context(worker(database_url, "--app", APP))
        until(lambda: execution.progress().applied >= 5 * BATCH, "work")
        revoke(connection, "alice")
        (revoked,) = connection.execute("SELECT clock_timestamp() AS at").fetchall()
        execution.wait(timeout=30)
    # The workers were killed, perhaps before one could take a batch off the queue that the other had in hand.
    until(lambda: swept(host, connection), "the end of each batch")
    counts = execution.progress()
    assert (execution.status, execution.error) == ("failed", "not_authorized")
    assert counts.failed == 0
    assert 0 < counts.applied < counts.total or kind == "streaming"
    assert counts.pending == counts.total - counts.applied
    if kind != "effect":
        assert total(connection) == counts.applied
    # What had its answer before is at most a batch of each worker; then it has ended, and says so.
    entries = host.audit(execution_id=execution.id, limit=1_000)
    later = [
        one for one in entries if one.topic == "batch.completed" and one.recorded_at > revoked["at"]
    ]
    assert len(later) <= WORKERS
    (failed,) = [one for one in entries if one.topic == "execution.failed"]
    assert (failed.actor, failed.details["error"]) == ("alice", "not_authorized")
    assert not [one for one in later if one.position > failed.position]
    check_invariants(connection, ledger=host, tables=[] if kind == "effect" else ["places"])


def test_what_was_done_is_taken_back_by_whoever_may(
    database_url: str, connection: Connection[DictRow], host: Ledger
) -> None:
    execution = submitted(host, "gated")
    with worker(database_url, "--app", APP):
        until(lambda: execution.progress().applied >= 2 * BATCH, "work")
        revoke(connection, "alice")
        execution.wait(timeout=30)
        done = execution.progress().applied
        with pytest.raises(NotAuthorized, match="alice"):
            execution.undo(by="alice").submit()
        with pytest.raises(NotAuthorized):
            execution.retry(by="alice").submit()
        rejected = [
            (one.actor, one.execution_id, one.details["command"], one.details["error"])
            for one in host.audit(limit=1_000)
            if one.topic == "command.rejected"
        ]
        assert rejected[0] == ("alice", execution.id, "request_undo", "not_authorized")
        assert [command for _, _, command, _ in rejected] == ["request_undo", "request_execution"]
        assert total(connection) == done
        undo = execution.undo(by="carol").submit()
        undo.wait(timeout=30)
    assert (undo.status, total(connection)) == ("completed", 0)
    check_invariants(connection, ledger=host, tables=["places"])
