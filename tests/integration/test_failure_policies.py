"""When too many records fail, an execution stops, or takes back what it did, as its policy says."""

from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import AlreadyUndone, InvalidParameters
from action_ledger.domain.execution import rollback_id
from action_ledger.domain.failure import too_many
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.workers import sweep
from tests.integration.conftest import PLACES
from tests.integration.test_steering import changed, topics
from tests.invariants import check_invariants

SIZE = 10


@pytest.fixture
def forbidden(connection: Connection[DictRow], places: str) -> str:
    """Scores of 1,015, 1,025 and 1,026 are refused."""
    connection.execute(
        "ALTER TABLE places ADD CONSTRAINT forbidden CHECK (score NOT IN (1015, 1025, 1026))"
    )
    return places


def run(ledger: Ledger, places: str, policy: str, **options: Any) -> ExecutionHandle:
    request = ledger.on(places).all().update(score=col("score") + 1000).by("user:1")
    return request.batch_size(SIZE).on_failure(policy, **options).run()


@pytest.mark.parametrize(
    ("failed", "max_failures", "ratio", "expected"),
    [
        (0, None, None, False),
        (1, None, None, True),
        (1, 1, None, False),
        (2, 1, None, True),
        (5, None, 0.05, False),
        (6, None, 0.05, True),
        (2, 1, 0.5, True),
        (1, 1, 0.001, True),
        (0, 0, 0, False),
    ],
)
def test_too_many(
    failed: int, max_failures: int | None, ratio: float | None, *, expected: bool
) -> None:
    found = too_many(failed, 100, max_failures=max_failures, max_failure_ratio=ratio)
    assert found is expected


class TestContinue:
    def test_the_others_go_on(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        execution = run(ledger, forbidden, "continue")
        assert execution.status == "completed"
        assert changed(connection) == PLACES - 3


class TestStop:
    def test_at_the_first_failure(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        execution = run(ledger, forbidden, "stop")
        counts = execution.progress()
        assert (execution.status, execution.row()["error"]) == ("failed", "too_many_failures")
        assert (counts.applied, counts.failed, counts.pending) == (19, 1, 80)
        assert len(list(execution.not_processed())) == counts.pending
        assert changed(connection) == counts.applied
        check_invariants(connection, ledger=ledger, tables=["places"])
        assert execution.undo(by="user:1").run().progress().applied == counts.applied
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize(
        ("options", "pending"),
        [
            ({"max_failures": 1}, 70),
            ({"max_failures": 2}, 70),
            ({"max_failures": 3}, 0),
            ({"max_ratio": 0.01}, 70),
            ({"max_ratio": 0.03}, 0),
        ],
    )
    def test_after_so_many(
        self,
        ledger: Ledger,
        forbidden: str,
        connection: Connection[DictRow],
        options: dict[str, Any],
        pending: int,
    ) -> None:
        execution = run(ledger, forbidden, "stop", **options)
        assert execution.progress().pending == pending
        assert execution.status == ("failed" if pending else "completed")
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_in_one_batch(self, ledger: Ledger, forbidden: str) -> None:
        request = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1")
        execution = request.on_failure("stop").run()
        assert execution.status == "failed"
        assert execution.progress().applied == PLACES - 3
        assert topics(execution) == ["requested", "planned", "failed"]

    def test_while_it_is_streaming(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        request = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1")
        execution = request.batch_size(5).on_failure("stop").streaming().run()
        counts = execution.progress()
        assert execution.status == "failed"
        assert counts.total_final
        check_invariants(connection, ledger=ledger, tables=["places"])


class TestRollback:
    def test_what_was_done_is_taken_back(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        before = connection.execute("SELECT * FROM places ORDER BY id").fetchall()
        execution = run(ledger, forbidden, "rollback", max_failures=1)
        assert execution.status == "rolled_back"
        assert connection.execute("SELECT * FROM places ORDER BY id").fetchall() == before
        ends = topics(execution)
        assert ends == ["requested", "planned", "rollback_started", "rolled_back"]
        assert [undo.id for undo in execution.undos()] == [rollback_id(execution.id)]
        check_invariants(connection, ledger=ledger, tables=["places"])
        with pytest.raises(AlreadyUndone):
            execution.undo(by="user:1").run()
        redo = execution.undos()[0].redo(by="user:1").run()
        assert redo.progress().applied == execution.progress().applied
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_in_one_batch(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        request = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1")
        execution = request.on_failure("rollback").run()
        assert (execution.status, changed(connection)) == ("rolled_back", 0)
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_nothing_had_been_done(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        request = ledger.on(forbidden).keys([15]).update(score=col("score") + 1000).by("user:1")
        execution = request.on_failure("rollback").run()
        assert (execution.status, execution.undos()) == ("rolled_back", [])
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_by_workers_and_a_sweep(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        """The worker that found it may die before it asks for the undo: another does."""
        request = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1")
        execution = request.batch_size(SIZE).on_failure("rollback").submit()
        worker = ledger.worker()
        while worker.step():
            pass
        assert execution.status == "rolling_back"
        assert execution.undos() == []
        assert sweep.sweep(ledger.store) == 1
        assert sweep.sweep(ledger.store) == 0
        while worker.step():
            pass
        assert (execution.status, changed(connection)) == ("rolled_back", 0)
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_what_somebody_changed_since_stays(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        request = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1")
        execution = request.batch_size(SIZE).on_failure("rollback").submit()
        ledger.worker().step()
        ledger.worker().step()
        connection.execute("UPDATE places SET score = 7 WHERE id = 3")
        ledger.worker().finish(execution.id)
        assert execution.status == "rolled_back"
        (undo,) = execution.undos()
        assert [one.key for one in undo.conflicts()] == [("3",)]
        check_invariants(connection, ledger=ledger, tables=["places"], touched=["3"])

    def test_a_table_that_is_gone_ends_it_too(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        request = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1")
        execution = request.batch_size(SIZE).on_failure("rollback").submit()
        worker = ledger.worker()
        while worker.step():
            pass
        connection.execute("ALTER TABLE places DROP COLUMN score")
        worker.finish(execution.id)
        assert execution.status in {"failed", "rolled_back"}
        assert execution.row()["ended_at"] is not None


class TestRefusals:
    @pytest.mark.parametrize(
        ("policy", "options"),
        [
            ("continue", {"max_failures": 3}),
            ("stop", {"max_failures": -1}),
            ("stop", {"max_ratio": 1.5}),
            ("explode", {}),
        ],
    )
    def test_what_makes_no_sense(
        self, ledger: Ledger, places: str, policy: str, options: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidParameters):
            run(ledger, places, policy, **options)
        assert ledger.executions() == []

    def test_a_rollback_of_what_is_irreversible(self, ledger: Ledger, places: str) -> None:
        request = ledger.on(places).all().update(score=1).by("user:1").irreversible()
        with pytest.raises(InvalidParameters, match="irreversible"):
            request.on_failure("rollback").run()

    def test_a_ratio_of_a_total_that_grows(self, ledger: Ledger, places: str) -> None:
        request = ledger.on(places).all().update(score=1).by("user:1").streaming()
        with pytest.raises(InvalidParameters, match="share"):
            request.on_failure("stop", max_ratio=0.1).run()
