"""What the append lock is for: whoever has waited for it decides by what the one before him has written, not before."""

import logging
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import UndoInProgress
from action_ledger.ops import ExecutionHandle, open_ledger
from action_ledger.projections.audit import Audit
from action_ledger.workers.close import ExecutionClosed
from action_ledger.workers.sweep import sweep
from tests.crash.harness import scores, topics, until
from tests.crash.scenarios import RECORDS, SCENARIOS, Stage, add_one, planned, set_up
from tests.crash.test_contention import waiting
from tests.integration.test_leases import take
from tests.invariants import check_invariants
from tests.mailer import EFFECTS
from tests.standing import Act, standing


@pytest.fixture
def stage(database_url: str, connection: Connection[DictRow]) -> Generator[Stage]:
    with open_ledger(database_url, actions=EFFECTS) as ledger:
        stage = Stage(database_url, ledger, connection)
        set_up(stage)
        yield stage
        check_invariants(connection, ledger=ledger, tables=["places"])


def in_turn(stage: Stage, first: Act, step: str, second: Act) -> Any:
    """Let the second wait for the append lock that the first has at a step; give what the second gives."""
    with ThreadPoolExecutor(1) as pool:
        with standing(step, first):
            later = pool.submit(second)
            until(lambda: waiting(stage.connection) == 1, "the wait for the append lock")
        return later.result(30)


def swept(stage: Stage) -> int:
    return sweep(stage.ledger.store)


def step_of(stage: Stage, execution: ExecutionHandle) -> Act:
    return lambda: stage.ledger.worker().step(execution.id)


def letters(stage: Stage, directory: Path) -> ExecutionHandle:
    """Plan an execution with an effect."""
    request = stage.ledger.on("places").all().apply("letter", log=str(directory / "letters"))
    return planned(stage, request.by("user:1"))


class TestCancelledMeanwhile:
    def test_a_batch_is_given_up(self, stage: Stage) -> None:
        execution = planned(stage)
        in_turn(
            stage,
            lambda: execution.cancel(by="user:2"),
            "steer.appended",
            step_of(stage, execution),
        )
        assert (execution.status, execution.progress().applied) == ("cancelled", 0)
        assert scores(stage.connection) == {0: RECORDS}

    def test_a_batch_does_not_fail_any_more(self, stage: Stage) -> None:
        execution = planned(stage)
        stage.connection.execute("ALTER TABLE places RENAME TO elsewhere")
        in_turn(
            stage,
            lambda: execution.cancel(by="user:2"),
            "steer.appended",
            step_of(stage, execution),
        )
        stage.connection.execute("ALTER TABLE elsewhere RENAME TO places")
        progress = execution.progress()
        assert (progress.status, progress.failed, progress.pending) == ("cancelled", 0, RECORDS)

    @pytest.mark.parametrize("streaming", [False, True])
    def test_a_plan_is_given_up(self, stage: Stage, *, streaming: bool) -> None:
        request = add_one(stage)
        execution = (request.streaming() if streaming else request).submit()
        in_turn(
            stage,
            lambda: execution.cancel(by="user:2"),
            "steer.appended",
            step_of(stage, execution),
        )
        assert (execution.status, execution.progress().batches) == ("cancelled", 0)

    def test_an_effect_is_not_begun(self, stage: Stage, tmp_path: Path) -> None:
        execution = letters(stage, tmp_path)
        in_turn(
            stage,
            lambda: execution.cancel(by="user:2"),
            "steer.appended",
            step_of(stage, execution),
        )
        assert (execution.status, execution.progress().pending) == ("cancelled", RECORDS)
        assert "batch.started" not in topics(stage.connection)

    def test_a_batch_with_an_effect_counts_what_it_had_done(
        self, stage: Stage, tmp_path: Path
    ) -> None:
        execution = letters(stage, tmp_path)
        leased = take(execution)
        with pytest.raises(ExecutionClosed):
            in_turn(stage, lambda: execution.cancel(by="user:2"), "steer.appended", leased.run)
        progress = execution.progress()
        assert (progress.status, progress.applied, progress.pending) == ("cancelled", RECORDS, 0)
        assert topics(stage.connection).get("batch.completed", 0) == 0


def test_a_plan_is_given_up_that_was_paused_meanwhile(stage: Stage) -> None:
    execution = add_one(stage).submit()
    in_turn(
        stage, lambda: execution.pause(by="user:2"), "steer.appended", step_of(stage, execution)
    )
    assert (execution.status, execution.progress().batches) == ("paused", 0)
    execution.resume(by="user:2")
    execution.finish()
    assert scores(stage.connection) == {1: RECORDS}


def test_two_who_steer_follow_one_another(stage: Stage) -> None:
    execution = planned(stage)
    in_turn(
        stage,
        lambda: execution.pause(by="user:2"),
        "steer.appended",
        lambda: execution.cancel(by="user:3"),
    )
    assert execution.status == "cancelled"


def test_a_second_undo_is_told_of_the_first(stage: Stage) -> None:
    execution = add_one(stage).run()
    with pytest.raises(UndoInProgress):
        in_turn(
            stage,
            lambda: execution.undo(by="user:2").submit(),
            "undo.before_commit",
            lambda: execution.undo(by="user:3").submit(),
        )
    (undo,) = execution.undos()
    undo.finish()
    assert scores(stage.connection) == {0: RECORDS}


def test_a_redo_waits_for_the_end_of_its_undo(stage: Stage) -> None:
    """Though there is nothing yet that it could do again, it is told of the undo and not that there is nothing."""
    undo = add_one(stage).run().undo(by="user:2").submit()
    worker = stage.ledger.worker()
    while undo.status == "running":
        with pytest.raises(UndoInProgress):
            undo.redo(by="user:3").submit()
        worker.step(undo.id)
    undo.redo(by="user:3").run()
    assert scores(stage.connection) == {1: RECORDS}


class TestEndedByAnother:
    """A worker whose unit has failed for good was slow to say so, and another has done the unit meanwhile."""

    @pytest.fixture(autouse=True)
    def quiet(self, caplog: pytest.LogCaptureFixture) -> Generator[None]:
        yield
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []

    @contextmanager
    def failing(self, stage: Stage, execution: ExecutionHandle) -> Generator[None]:
        """Let a worker meet a fault, and stand before it says so; the fault has gone then."""
        stage.connection.execute("ALTER TABLE places RENAME TO elsewhere")
        with standing("fault.met", step_of(stage, execution)):
            stage.connection.execute("ALTER TABLE elsewhere RENAME TO places")
            yield

    def test_a_plan_is_not_failed(self, stage: Stage) -> None:
        execution = add_one(stage).submit()
        with self.failing(stage, execution):
            stage.ledger.worker().step(execution.id)
        execution.finish()
        assert execution.status == "completed"
        assert "execution.planning_failed" not in topics(stage.connection)
        assert scores(stage.connection) == {1: RECORDS}

    def test_a_batch_is_not_failed(self, stage: Stage) -> None:
        execution = planned(stage)
        with self.failing(stage, execution):
            stage.ledger.worker().step(execution.id)
        execution.finish()
        progress = execution.progress()
        assert (progress.status, progress.applied, progress.failed) == ("completed", RECORDS, 0)
        assert scores(stage.connection) == {1: RECORDS}


def test_an_undo_that_was_looked_for_before_another_ended(stage: Stage) -> None:
    """It waits for the other's turn at the table, and then finds the records in its hands."""
    execution = add_one(stage).run()
    with pytest.raises(UndoInProgress):
        in_turn(
            stage,
            lambda: execution.undo(by="user:2").submit(),
            "undo.before_append",
            lambda: execution.undo(by="user:3").run(),
        )
    (undo,) = execution.undos()
    undo.finish()
    assert undo.status == "completed"
    assert scores(stage.connection) == {0: RECORDS}


def test_a_follower_that_parks_a_stream_comes_before_a_rebuild_or_not_at_all(stage: Stage) -> None:
    """The rebuild takes in what the follower could not: no stream of the new view is left out from then on."""
    add_one(stage).run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Audit, "project", refused)

        def rebuild() -> None:
            patch.undo()
            stage.ledger.projections.rebuild(["audit"])

        in_turn(stage, stage.ledger.catch_up, "follow.before_commit", rebuild)
    parked = stage.connection.execute("SELECT FROM action_ledger.parked_streams").fetchall()
    assert parked == []


def refused(*_: object) -> None:
    raise LookupError


def test_who_has_looked_at_a_view_writes_to_the_one_that_took_its_place(stage: Stage) -> None:
    """A retry reads the execution before it appends."""
    execution = planned(stage)
    execution.cancel(by="user:2")
    retry = execution.retry(by="user:2", not_processed=True)
    again = in_turn(
        stage,
        lambda: stage.ledger.projections.rebuild(["progress"]),
        "rebuild.before_commit",
        retry.submit,
    )
    assert again.status == "requested", "or the new view does not know it"
    again.finish()
    assert again.progress().applied == RECORDS


@pytest.mark.parametrize(
    ("scenario", "step"),
    [
        ("units left open", "sweep.closed"),
        ("ended by nobody", "sweep.settled"),
        ("undo ended by nobody", "sweep.settled"),
        ("rollback of nothing", "rollback.ended"),
    ],
)
def test_two_who_sweep_find_it_once(stage: Stage, scenario: str, step: str) -> None:
    """The second had found it too, and has nothing left to do."""
    order = SCENARIOS[scenario].prepare(stage)
    if job := order.get("job"):
        stage.ledger.worker().step(job)
    assert in_turn(stage, lambda: swept(stage), step, lambda: swept(stage)) == 0
    assert swept(stage) == 0
