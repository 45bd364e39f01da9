"""Workers with effects are killed and frozen, at every step.

Each record is counted once, and called for at most once more for each worker that died.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import CancelExecution
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.handles import ExecutionHandle
from tests.crash.harness import (
    Watcher,
    children,
    finished,
    killed,
    make_places,
    topics,
    until,
)
from tests.crash.test_frozen import stopped
from tests.effect_invariants import check_effects
from tests.faults import injected
from tests.invariants import check_invariants
from tests.mailer import EFFECTS, calls, lines
from tests.other_clock import SHIFTS, SLEEPS, STEADY, faketime

LEASE = 1.0
LEASE_VARIABLE = "ACTION_LEDGER_LEASE_SECONDS"
RECORDS = 60
STEPS = (
    "batch.claimed",
    "batch.before_commit",
    "effect.leased",
    "effect.before_call",
    "effect.after_call",
    "effect.before_keep",
    "effect.kept",
    "effect.before_end",
    "effect.before_commit",
)
UNDO_STEPS = tuple(step.replace("batch.", "compensation.") for step in STEPS)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "letters"


@pytest.fixture(autouse=True)
def _lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LEASE_VARIABLE, str(LEASE))


def opened(url: str) -> Ledger:
    return open_ledger(url, actions=EFFECTS)


def letters(ledger: Ledger, log: Path, *, batch: int = 30, **options: Any) -> ExecutionHandle:
    request = ledger.on("places").all().apply("letter", log=str(log), **options)
    return request.by("user:1").batch_size(batch).submit()


def order(url: str, job: object, step: str = "", at: int = 1, **more: Any) -> dict[str, Any]:
    return {"url": url, "job": job, "step": step, "at": at, "lease_seconds": LEASE} | more


def kept(connection: Connection[DictRow]) -> list[DictRow]:
    return connection.execute("SELECT * FROM action_ledger.effect_results").fetchall()


def lease_runs_out(connection: Connection[DictRow]) -> None:
    """Wait for the end of every lease, by the clock that counts."""
    statement = "SELECT FROM action_ledger.work_queue WHERE leased_until > clock_timestamp()"
    until(lambda: not connection.execute(statement).fetchall(), "the end of the lease", seconds=10)


def begun(ledger: Ledger, log: Path, direction: str) -> tuple[Any, tuple[str, ...], str]:
    """Begin a do or an undo of something done; give the job, its steps, and what a call's end is called."""
    execution = letters(ledger, log)
    if direction == "do":
        ledger.worker().step(execution.id)  # planned
        return execution, STEPS, "sent"
    ledger.worker().finish(execution.id)
    log.unlink()
    return execution.undo(by="user:2").submit(), UNDO_STEPS, "returned"


@pytest.mark.crash
@pytest.mark.parametrize("direction", ["do", "undo"])
@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 5, 6, 7, 8])
def test_killed_at_every_step_and_again(
    database_url: str, connection: Connection[DictRow], log: Path, direction: str, at: int
) -> None:
    """The second worker dies at the same step, when it takes up what the first has left."""
    make_places(connection, RECORDS)
    with opened(database_url) as ledger, Watcher(database_url):
        job, steps, ended = begun(ledger, log, direction)
        was_kept: set[str] = set()
        for arrival in (2 if "_call" in steps[at] else 1, 1):
            before = calls(log)
            killed(order(database_url, job.id, steps[at], arrival))
            assert not {key for key in was_kept if calls(log)[key] > before[key]}
            was_kept = {str(row["idempotency_key"]) for row in kept(connection)}
            check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)
            lease_runs_out(connection)
        before = calls(log)
        finished(order(database_url, job.id))
        assert job.status == "completed"
        assert job.progress().applied == RECORDS
        assert max(calls(log).values()) <= 3
        assert len(calls(log)) == len(calls(log, ended)) == RECORDS
        assert not {key for key in was_kept if calls(log)[key] > before[key]}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_killed_in_the_middle(
    database_url: str, connection: Connection[DictRow], log: Path
) -> None:
    """The next worker comes within two lease periods, and does not call again for what was kept."""
    make_places(connection, RECORDS)
    with opened(database_url) as ledger, Watcher(database_url):
        execution = letters(ledger, log, batch=RECORDS)
        killed(order(database_url, execution.id, "effect.kept", 2, lease_seconds=4))
        started = time.monotonic()
        known = {str(row["idempotency_key"]) for row in kept(connection)}
        assert len(known) == 50
        assert execution.progress().pending == RECORDS
        with children(order(database_url, execution.id)):
            until(lambda: set(calls(log)) - known, "the next worker", seconds=10)
            assert time.monotonic() - started < 2 * 4
            execution.wait(timeout=20)
        counted = calls(log)
        assert {key for key, count in counted.items() if count > 1} <= set(counted) - known
        assert execution.progress().applied == RECORDS
        assert topics(connection)["batch.started"] == 2
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(2)
@pytest.mark.parametrize("step", ["effect.before_call", "effect.before_keep", "effect.before_end"])
def test_frozen_and_thawed(
    database_url: str, connection: Connection[DictRow], log: Path, step: str
) -> None:
    """Another takes over from a worker that stands still; thawed, it writes nothing under its old epoch."""
    make_places(connection, RECORDS)
    with opened(database_url) as ledger, Watcher(database_url):
        execution = letters(ledger, log, batch=RECORDS)
        frozen = order(
            database_url, execution.id, step, 30 if "call" in step else 1, signal="SIGSTOP"
        )
        with children(frozen) as (worker,):
            assert worker.pid is not None
            until(lambda: stopped(worker.pid or 0), "the worker's stop")
            before = {row["position"]: row for row in kept(connection)}
            taking_over = order(database_url, execution.id, "effect.before_end", signal="SIGSTOP")
            with children({**taking_over, "lease_seconds": 60}) as (second,):
                until(lambda: stopped(second.pid or 0), "the second worker's last step")
                # The second holds a lease of its own; now the first wakes up and wants to write.
                begun = sum(
                    line[0] == "begun" and line[4] == str(worker.pid) for line in lines(log)
                )
                os.kill(worker.pid, signal.SIGCONT)
                time.sleep(LEASE / 2)
                again = sum(
                    line[0] == "begun" and line[4] == str(worker.pid) for line in lines(log)
                )
                assert again - begun <= 1, "no more than what was under way when it was stopped"
                os.kill(second.pid or 0, signal.SIGCONT)
                worker.join(30)
                second.join(30)
                assert (worker.exitcode, second.exitcode) == (0, 0)
        assert execution.status == "completed"
        assert execution.progress().applied == RECORDS
        rows = kept(connection)
        assert {row["epoch"] for row in rows if row["position"] not in before} <= {2}
        assert {row["epoch"] for row in rows if row["position"] in before} <= {1}
        ended = connection.execute(
            "SELECT convert_from(state, 'UTF8')::jsonb ->> 'attempt' AS attempt"
            " FROM action_ledger.stored_events WHERE topic = 'batch.completed'"
        ).fetchall()
        assert ended == [{"attempt": "2"}]
        assert max(calls(log).values()) <= 2
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_dead_holder_of_a_cancelled_batch(
    database_url: str, connection: Connection[DictRow], log: Path
) -> None:
    """Cancelled while its worker is dead: what was kept counts, when the lease has run out."""
    make_places(connection, RECORDS)
    with opened(database_url) as ledger:
        execution = letters(ledger, log, batch=RECORDS)
        killed(order(database_url, execution.id, "effect.kept", 1))
        ledger.handle(
            CancelExecution(
                command_id=uuid7(), actor=Actor(subject="user:2"), execution_id=execution.id
            )
        )
        assert execution.progress().pending == RECORDS
        check_effects(connection)
        finished(order(database_url, execution.id))
        progress = execution.progress()
        assert (progress.applied, progress.pending) == (25, RECORDS - 25)
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.parametrize("workers", [2, 4])
def test_several_workers_under_random_kills(
    database_url: str, connection: Connection[DictRow], log: Path, workers: int
) -> None:
    make_places(connection, 300)
    dead = 0
    with opened(database_url) as ledger, Watcher(database_url):
        execution = letters(ledger, log, batch=50, seconds=0.01)
        while execution.status not in execution.ended:
            with children(*[order(database_url, execution.id)] * workers) as started:
                for worker in started[:-1]:
                    time.sleep(0.4)
                    dead += worker.is_alive()
                    injected(1, worker.is_alive())
                    worker.kill()
                started[-1].join(3)
        assert execution.progress().applied == 300
        assert len(calls(log)) == 300
        assert max(calls(log).values()) <= 1 + dead
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_handler_that_kills_its_workers(
    database_url: str, connection: Connection[DictRow], log: Path
) -> None:
    """After five leases in a row that brought nothing, the records that are left have failed: nobody is killed for ever."""
    make_places(connection, 10)
    with opened(database_url) as ledger:
        execution = letters(ledger, log, batch=10)
        for _ in range(5):
            killed(order(database_url, execution.id, "effect.before_call", 1, lease_seconds=0.2))
        finished(order(database_url, execution.id, lease_seconds=0.2))
        assert execution.progress().failed == 10
        assert {each.reason for each in execution.failures()} == {"effect_abandoned"}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(10)
@pytest.mark.crash
@pytest.mark.parametrize("shift", SHIFTS)
def test_a_worker_whose_clock_is_a_day_off(
    database_url: str, connection: Connection[DictRow], log: Path, shift: str
) -> None:
    """Neither does it take a lease that has not run out, nor does anybody take its own."""
    make_places(connection, 100)
    program = (
        SLEEPS + "import sys, uuid\n"
        "from action_ledger.ops import open_ledger\n"
        "from tests.mailer import EFFECTS\n"
        "print(time.time(), flush=True)\n"
        "with open_ledger(sys.argv[1], actions=EFFECTS) as ledger:\n"
        "    ledger.worker().finish(uuid.UUID(sys.argv[2]))\n"
    )
    with opened(database_url) as ledger, Watcher(database_url):
        execution = letters(ledger, log, batch=20, seconds=0.1)
        ledger.worker().step(execution.id)
        environment = os.environ | STEADY | {LEASE_VARIABLE: "20"}
        command = [*faketime(shift), sys.executable, "-c", program, database_url]
        with subprocess.Popen(
            [*command, str(execution.id)], stdout=subprocess.PIPE, text=True, env=environment
        ) as wrong:
            assert wrong.stdout is not None
            assert abs(float(wrong.stdout.readline()) - time.time()) > 80_000
            until(lambda: "batch.started" in topics(connection), "the lease of the wrong clock")
            finished(order(database_url, execution.id, lease_seconds=20))
            assert wrong.wait(30) == 0
        assert execution.progress().applied == 100
        assert set(calls(log).values()) == {1}
        assert topics(connection)["batch.started"] == 5
        assert len({line[4] for line in lines(log)}) == 2, "both had a part in it"
        check_invariants(connection, ledger=ledger, tables=["places"])
