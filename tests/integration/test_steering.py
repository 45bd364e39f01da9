"""Executions under way are paused, resumed, cancelled and retuned, and what was asked holds from then on."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import CancelExecution, PauseExecution
from action_ledger.domain.errors import (
    ActorMissing,
    CommandReused,
    ExecutionEnded,
    ExecutionNotFound,
    InvalidParameters,
)
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.workers import steps
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.some_work import verified

BATCHES = 10
SIZE = PLACES // BATCHES


def submitted(ledger: Ledger, places: str, *, streaming: bool = False) -> ExecutionHandle:
    request = ledger.on(places).all().update(score=col("score") + 1000).by("user:1")
    request = request.batch_size(SIZE)
    return (request.streaming() if streaming else request).submit()


def topics(execution: ExecutionHandle) -> list[str]:
    return [each.event.TOPIC.partition(".")[2] for each in execution.events()]


def changed(connection: Connection[DictRow]) -> int:
    row = connection.execute("SELECT count(*) AS n FROM places WHERE score > 1000").fetchone()
    assert row is not None
    return int(row["n"])


def at_step(
    ledger: Ledger, execution: ExecutionHandle, step: str, do: Callable[[], object]
) -> bool:
    """Let a worker take one unit, and do something when it has come to a step."""
    there, done = Event(), Event()

    def strike(reached: str) -> None:
        if reached == step:
            there.set()
            assert done.wait(30)

    def work() -> None:
        steps.strike.set(strike)
        ledger.worker().step(execution.id)

    thread = Thread(target=work)
    thread.start()
    assert there.wait(30)
    do()
    done.set()
    thread.join(30)
    return not thread.is_alive()


class TestPause:
    def test_nothing_is_taken_up_until_it_is_resumed(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = submitted(ledger, places)
        worker = ledger.worker()
        for _ in range(4):  # the plan and three batches
            assert worker.step(execution.id)
        execution.pause(by="user:2", reason="too much load")
        assert execution.status == "paused"
        assert not worker.step(execution.id)
        assert not worker.step()
        worker.finish(execution.id)  # comes back: nothing of it is to be done now
        assert changed(connection) == 3 * SIZE
        check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)
        execution.resume(by="user:2")
        worker.finish(execution.id)
        assert execution.status == "completed"
        assert changed(connection) == PLACES
        assert topics(execution) == ["requested", "planned", "paused", "resumed", "completed"]
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_a_batch_at_work_comes_to_its_end(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = submitted(ledger, places)
        ledger.worker().step(execution.id)
        assert at_step(ledger, execution, "batch.applied", lambda: execution.pause(by="user:2"))
        assert changed(connection) == SIZE
        assert execution.status == "paused"

    def test_the_last_batch_at_work_ends_the_execution(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = ledger.on(places).keys([1, 2]).update(score=5000).by("user:1").submit()
        assert at_step(ledger, execution, "batch.applied", lambda: execution.pause(by="user:2"))
        assert execution.status == "completed"
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize("streaming", [False, True])
    def test_a_plan_at_work_is_given_up_and_made_again(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], *, streaming: bool
    ) -> None:
        execution = submitted(ledger, places, streaming=streaming)
        assert at_step(ledger, execution, "plan.cut", lambda: execution.pause(by="user:2"))
        assert (execution.status, execution.progress().batches) == ("paused", 0)
        execution.resume(by="user:2")
        ledger.worker().finish(execution.id)
        assert (execution.status, changed(connection)) == ("completed", PLACES)
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_run_comes_back_when_somebody_pauses_it(self, ledger: Ledger, places: str) -> None:
        request = ledger.on(places).all().update(note="x").by("user:1").batch_size(SIZE)
        execution = request.run(watch=lambda running: running.pause(by="user:2"))
        assert execution.status == "paused"
        assert execution.progress().pending > 0

    def test_what_changes_nothing_leaves_no_event(self, ledger: Ledger, places: str) -> None:
        execution = submitted(ledger, places)
        execution.resume(by="user:2")
        execution.pause(by="user:2")
        execution.pause(by="user:3")
        execution.retune(by="user:3")
        assert topics(execution) == ["requested", "paused"]


class TestCancel:
    def test_what_is_done_stays_and_can_be_undone(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = submitted(ledger, places)
        worker = ledger.worker()
        for _ in range(4):
            worker.step(execution.id)
        execution.cancel(by="user:2", reason="wrong table")
        counts = execution.progress()
        assert (counts.status, counts.applied, counts.pending) == ("cancelled", 30, 70)
        assert not worker.step()
        left = list(execution.not_processed())
        assert [int(one.key[0]) for one in left] == list(range(31, PLACES + 1))
        assert {one.reason for one in left} == {"cancelled"}
        check_invariants(connection, ledger=ledger, tables=["places"])
        undo = execution.undo(by="user:2").run()
        assert undo.progress().applied == 3 * SIZE
        assert changed(connection) == 0
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize("step", ["batch.claimed", "batch.applied"])
    def test_a_batch_at_work_is_given_up(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], step: str
    ) -> None:
        execution = submitted(ledger, places)
        ledger.worker().step(execution.id)
        assert at_step(ledger, execution, step, lambda: execution.cancel(by="user:2"))
        assert changed(connection) == 0
        counts = execution.progress()
        assert (counts.applied, counts.pending, counts.batches_done) == (0, PLACES, 0)
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_a_batch_that_has_the_append_lock_comes_first(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = submitted(ledger, places)
        ledger.worker().step(execution.id)
        canceller = Thread(target=lambda: execution.cancel(by="user:2"))
        assert at_step(ledger, execution, "batch.appended", canceller.start)
        canceller.join(30)
        assert (execution.status, changed(connection)) == ("cancelled", SIZE)
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize("streaming", [False, True])
    def test_a_plan_at_work_is_given_up(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], *, streaming: bool
    ) -> None:
        execution = submitted(ledger, places, streaming=streaming)
        assert at_step(ledger, execution, "plan.cut", lambda: execution.cancel(by="user:2"))
        assert topics(execution) == ["requested", "cancelled", "planning_cancelled"]
        check_invariants(connection, ledger=ledger)

    def test_before_it_was_planned(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = submitted(ledger, places)
        execution.cancel(by="user:2")
        execution.cancel(by="user:3")  # nothing is left to be cancelled, and that is no error
        assert execution.status == "cancelled"
        assert topics(execution) == ["requested", "cancelled", "planning_cancelled"]
        check_invariants(connection, ledger=ledger)

    def test_one_that_is_paused(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = submitted(ledger, places)
        ledger.worker().step(execution.id)
        execution.pause(by="user:2")
        execution.cancel(by="user:2")
        assert execution.status == "cancelled"
        check_invariants(connection, ledger=ledger)

    def test_more_units_than_are_closed_at_once(
        self,
        ledger: Ledger,
        places: str,
        connection: Connection[DictRow],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("action_ledger.workers.close.AT_ONCE", 3)
        execution = submitted(ledger, places)
        ledger.worker().step(execution.id)
        execution.cancel(by="user:2")
        check_invariants(connection, ledger=ledger)


class TestRetune:
    def test_what_is_not_named_stays(self, ledger: Ledger, places: str) -> None:
        execution = submitted(ledger, places)
        execution.retune(by="user:2", rate=500, priority=7)
        execution.retune(by="user:2", concurrency=3)
        row = execution.row()
        assert (row["rate"], row["concurrency"], row["priority"]) == (500, 3, 7)
        execution.retune(by="user:2", rate="unlimited")
        assert execution.row()["rate"] is None
        assert verified(ledger) == []

    def test_a_higher_priority_goes_first(self, ledger: Ledger, places: str) -> None:
        first = ledger.on(places).keys([1]).update(note="a").by("user:1").submit()
        second = ledger.on(places).keys([2]).update(note="b").by("user:1").submit()
        second.retune(by="user:2", priority=1)
        ledger.worker().step()
        assert (first.status, second.status) == ("running", "completed")

    @pytest.mark.parametrize(
        "options", [{"rate": 0}, {"rate": -1}, {"concurrency": 0}, {"priority": 101}, {"rate": "x"}]
    )
    def test_what_makes_no_sense_is_refused(
        self, ledger: Ledger, places: str, options: dict[str, Any]
    ) -> None:
        execution = submitted(ledger, places)
        with pytest.raises(InvalidParameters):
            execution.retune(by="user:2", **options)
        assert topics(execution) == ["requested"]


class TestRefusals:
    @pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retune"])
    def test_what_has_ended(self, ledger: Ledger, places: str, verb: str) -> None:
        execution = ledger.on(places).keys([1]).update(note="a").by("user:1").run()
        with pytest.raises(ExecutionEnded) as raised:
            getattr(execution, verb)(by="user:2")
        assert raised.value.status == "completed"
        assert topics(execution)[-1] == "completed"

    def test_what_is_not_there(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        with pytest.raises(ExecutionNotFound):
            ledger.execution("018f0000-0000-7000-8000-000000000000").pause(by="user:2")
        row = connection.execute(
            "SELECT count(*) AS n FROM action_ledger.request_bodies"
        ).fetchone()
        assert row == {"n": 0}

    def test_nobody_asks(self, ledger: Ledger, places: str) -> None:
        with pytest.raises(ActorMissing):
            submitted(ledger, places).cancel()

    def test_one_command_twice_is_taken_in_once(self, ledger: Ledger, places: str) -> None:
        execution = submitted(ledger, places)
        command = PauseExecution(
            command_id=ledger.handle(
                ledger.on(places).keys([1]).update(note="x").by("user:1").command()
            ),
            actor=Actor(subject="user:2"),
            execution_id=execution.id,
        )
        with pytest.raises(CommandReused):
            ledger.handle(command)
        command = command.model_copy(update={"command_id": execution.id.__class__(int=7)})
        ledger.handle(command)
        ledger.handle(command)
        assert topics(execution) == ["requested", "paused"]
        other = CancelExecution(
            command_id=command.command_id, actor=Actor(subject="user:2"), execution_id=execution.id
        )
        with pytest.raises(CommandReused):
            ledger.handle(other)
        assert execution.status == "paused"
