"""A user's own probe holds executions back: it is asked now and then, waited for a little, and its reason is seen."""

import threading
import time
from collections.abc import Iterator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from action_ledger.domain import col
from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import CancelExecution
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.views import ExecutionView
from action_ledger.workers import throttle
from action_ledger.workers.admission import Admission
from action_ledger.workers.claim import claim
from tests.command_line import CommandLine
from tests.crash.harness import until
from tests.invariants import check_invariants


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        throttle.Throttle.__init__, "__kwdefaults__", {"every": 0.1, "patience": 0.3}
    )


class Probe:
    """Holds back what it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.reason: str | None = "the replica\nlags"
        self.asked: list[ExecutionView] = []

    def __call__(self, execution: ExecutionView) -> str | None:
        self.asked.append(execution)
        return self.reason if execution.actor == "heavy" else None


def add_one(ledger: Ledger, actor: str = "heavy") -> Request:
    return ledger.on("places").all().update(score=col("score") + 1).by(actor).batch_size(20)


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
def held(database_url: str, places: str, probe: Probe) -> Iterator[Ledger]:
    assert places
    with open_ledger(database_url, throttle=probe) as opened:
        yield opened


def test_held_back_until_the_probe_says_so(
    database_url: str, held: Ledger, connection: Connection[DictRow], probe: Probe
) -> None:
    heavy = add_one(held).queue("default", priority=9).submit()
    light = add_one(held, "light").submit()
    worker = held.worker()
    while worker.step():
        pass
    assert light.status == "completed"
    assert heavy.status == "requested"
    assert heavy.progress().held == "the replica lags"
    assert light.progress().held is None
    told = CommandLine(database_url)("show", heavy.id).out
    assert "held back" in told
    assert "the replica lags" in told
    started, asked = time.monotonic(), len(probe.asked)
    while time.monotonic() - started < 0.5:
        assert not worker.step()
    assert len(probe.asked) - asked <= 6
    probe.reason = None
    worker.finish(heavy.id)
    assert heavy.status == "completed"
    assert heavy.progress().held is None
    check_invariants(connection, ledger=held, tables=["places"])


def test_a_run_of_one_batch_is_held_too(
    held: Ledger, connection: Connection[DictRow], probe: Probe
) -> None:
    handles = []
    request = held.on("places").keys([1]).update(score=0).by("heavy")
    thread = threading.Thread(target=lambda: handles.append(request.run()))
    thread.start()
    until(lambda: len(probe.asked) > 1)
    assert held.executions()[0].status == "running"
    probe.reason = None
    thread.join(20)
    assert handles[0].status == "completed"
    check_invariants(connection, ledger=held, tables=["places"])


def test_what_is_taken_back_is_not_held(held: Ledger, probe: Probe) -> None:
    probe.reason = None
    execution = add_one(held).run()
    probe.reason = "the replica lags"
    undo = execution.undo(by="heavy").submit()
    gate = Admission(throttle.Throttle(held.store, lambda _: "always"))
    with held.store.rehearsal() as transaction:
        unit = claim(transaction, job=undo.id, queues=None, actions=["update"])
        assert unit is not None
        gate.admit(transaction, unit)
    undo.finish()
    assert undo.progress().applied == 100


@pytest.mark.parametrize("fault", [ZeroDivisionError, SystemExit])
def test_a_probe_that_raises_holds_nothing_back(
    database_url: str,
    held: Ledger,
    connection: Connection[DictRow],
    caplog: pytest.LogCaptureFixture,
    fault: type[BaseException],
) -> None:
    def broken(_: ExecutionView) -> str:
        raise fault("secret")

    held.throttle(broken)
    execution = add_one(held).submit()
    worker = held.worker()
    assert worker.step(execution.id)
    assert execution.progress().probe_error == fault.__name__
    assert execution.progress().held is None
    told = CommandLine(database_url)("show", execution.id).out
    assert f"its probe failed with {fault.__name__}" in told
    worker.finish(execution.id)
    assert "holds nothing back" in caplog.text
    check_invariants(connection, ledger=held, tables=["places"])


def test_a_probe_that_hangs_holds_nothing_back(
    held: Ledger, connection: Connection[DictRow]
) -> None:
    forever, calls = threading.Event(), []

    def hanging(_: ExecutionView) -> str:
        calls.append(1)
        forever.wait(30)
        return "never"

    held.throttle(hanging)
    execution = add_one(held).submit()
    started = time.monotonic()
    held.worker().finish(execution.id)
    assert time.monotonic() - started < 10
    assert len(calls) == 1, "it is not asked again before it has answered"
    forever.set()
    check_invariants(connection, ledger=held, tables=["places"])


def test_what_nobody_holds_back_any_more_is_not_said_to_be(
    held: Ledger, connection: Connection[DictRow]
) -> None:
    """The probe is gone with its process: whoever works on without one says so."""
    execution = add_one(held).submit()
    assert not held.worker().step(execution.id)
    assert execution.progress().held
    held.throttle(None)
    worker = held.worker()
    worker.step(execution.id)
    worker.step(execution.id)
    assert execution.progress().held is None
    worker.finish(execution.id)
    check_invariants(connection, ledger=held, tables=["places"])


def test_a_cancelled_execution_leaves_no_reason(
    held: Ledger, connection: Connection[DictRow]
) -> None:
    execution = add_one(held).submit()
    worker = held.worker()
    assert not worker.step(execution.id)
    assert connection.execute("SELECT FROM action_ledger.paces").fetchall()
    held.handle(
        CancelExecution(command_id=uuid7(), actor=Actor(subject="b"), execution_id=execution.id)
    )
    assert execution.progress().held is None
    assert not connection.execute("SELECT FROM action_ledger.paces").fetchall()
    assert not worker.step(execution.id)


def test_pace_on_the_command_line(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    line = CommandLine(database_url)
    paced = ("--adaptive", 0.5, "--rate", 1000, "--concurrency", 3, "--by", "a")
    said = line("run", places, "update", "--all", "--set", "note=x", *paced, "--submit", "--json")
    assert said.code == 0
    row = connection.execute(
        "SELECT rate, concurrency, r.body -> 'adaptive' ->> 'seconds' AS seconds"
        " FROM action_ledger.view_executions_g1 JOIN action_ledger.request_bodies r ON r.owner = execution_id"
    ).fetchone()
    assert row == {"rate": 1000, "concurrency": 3, "seconds": "0.5"}
    assert (
        line("run", places, "update", "--all", "--set", "note=x", "--rate", 0, "--by", "a").code
        == 2
    )
