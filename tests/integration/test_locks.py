"""Records are locked from planning to the end: who comes second is refused, or leaves them."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    InvalidParameters,
    RecordsLocked,
)
from action_ledger.domain.execution import PlanningFailed
from action_ledger.ops import Ledger
from tests.invariants import check_invariants
from tests.locking import SIZE, add_one, locks, planned, scores, skipped
from tests.some_work import verified

pytestmark = pytest.mark.usefixtures("places")


class TestHeld:
    def test_from_planning_to_the_end(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = add_one(ledger, 1, 40).submit()
        assert ledger.locks() == []
        ledger.worker().step(execution.id)
        (view,) = ledger.locks()
        assert (view.execution_id, view.undo_id, view.table) == (execution.id, None, places)
        assert (view.records, view.status, view.actor) == (40, "held", "user:1")
        assert view.owner_status == "running"
        execution.pause(by="user:2")
        assert ledger.locks()[0].owner_status == "paused"
        check_invariants(connection, ledger=ledger, open_jobs=True)
        execution.resume(by="user:2")
        execution.finish()
        assert ledger.locks() == []
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize("end", ["cancel", "stop", "rollback", "nothing"])
    def test_every_end_releases(
        self, ledger: Ledger, connection: Connection[DictRow], end: str
    ) -> None:
        request = add_one(ledger, 1, 40 if end != "nothing" else 0)
        if end in {"stop", "rollback"}:
            connection.execute("ALTER TABLE places ADD CHECK (id < 25 OR score < 1000)")
            request = request.on_failure(end)
        execution = planned(ledger, request)
        if end == "cancel":
            execution.cancel(by="user:2")
        execution.finish()
        assert execution.status in {"cancelled", "failed", "rolled_back", "completed"}
        assert ledger.locks() == []
        ended = {"cancel": "cancelled", "stop": "failed", "rollback": "rolled_back"}
        assert execution.status == ended.get(end, "completed")
        check_invariants(connection, ledger=ledger)

    def test_a_rollback_keeps_the_records_until_it_is_over(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        connection.execute("ALTER TABLE places ADD CHECK (id < 15 OR score < 1000)")
        execution = planned(ledger, add_one(ledger, 1, 40).on_failure("rollback"))
        while execution.status != "rolling_back":
            ledger.worker().step(execution.id)
        with pytest.raises(RecordsLocked):
            add_one(ledger, 5, 5).run()
        execution.finish()
        assert execution.status == "rolled_back"
        add_one(ledger, 5, 5).run()
        check_invariants(connection, ledger=ledger)

    def test_one_that_rolls_back_what_it_did_at_once(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        connection.execute("ALTER TABLE places ADD CHECK (id <> 3 OR score < 1000)")
        request = add_one(ledger, 1, 5).on_failure("rollback")
        ledger.handle(command := request.command(), now=True)
        execution = ledger.execution(command.command_id)
        assert execution.status == "rolling_back"
        assert locks(ledger) == {execution.id: ("held", 5)}
        execution.finish()
        assert (execution.status, ledger.locks()) == ("rolled_back", [])

    def test_what_is_over_at_once_has_no_lock_that_anybody_could_meet(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        add_one(ledger, 1, 5).run()
        told = connection.execute(
            "SELECT FROM action_ledger.stored_events WHERE topic LIKE 'record_lock.%'"
        )
        assert told.rowcount == 0


class TestFail:
    """The predecessor's fourth fault: its locks were a flag that nobody read."""

    def test_run_is_refused_and_says_by_whom(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        second = planned(ledger, add_one(ledger, 61, 70))
        for request in (add_one(ledger, 21, 65), add_one(ledger, 26, 30)):
            with pytest.raises(RecordsLocked) as refused:
                request.run()
            assert refused.value.owners[0] == str(first.id)
        with pytest.raises(RecordsLocked) as refused:
            add_one(ledger, 21, 65).run()
        assert refused.value.owners == (str(first.id), str(second.id))
        assert refused.value.records == (10, 5)
        assert refused.value.sample == ("21", "22", "23")
        assert str(first.id) in str(refused.value)
        assert len(ledger.executions()) == 2, "nothing is recorded of what was refused"
        assert scores(connection) == {}
        add_one(ledger, 31, 60).run()
        first.finish()
        add_one(ledger, 21, 30).run()
        check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)

    def test_a_submitted_one_fails_before_it_writes(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        late = add_one(ledger, 30, 99).submit()
        late.finish()
        assert (late.status, late.error) == ("failed", "records_locked")
        (failed,) = (e.event for e in late.events() if isinstance(e.event, PlanningFailed))
        assert failed.owners == (str(first.id),)
        assert scores(connection) == {}
        check_invariants(connection, ledger=ledger, open_jobs=True)

    def test_keys_are_refused_as_they_are_given(self, ledger: Ledger, places: str) -> None:
        planned(ledger, add_one(ledger, 1, 30))
        by_keys = ledger.on(places).keys(range(30, 99)).delete().by("user:2")
        with pytest.raises(RecordsLocked):
            by_keys.submit()
        by_keys.target.ledger.on(places).keys([31, 32]).delete().by("user:2").run()

    def test_streaming_plans_want_another_policy(self, ledger: Ledger) -> None:
        for policy in ("fail", "wait", "no such"):
            with pytest.raises(InvalidParameters):
                add_one(ledger, 1, 5).streaming().on_locked(policy).run()


class TestSkip:
    @pytest.mark.parametrize("how", ["run", "submit", "keys", "streaming"])
    def test_locked_records_are_left_and_listed(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], how: str
    ) -> None:
        first = planned(ledger, add_one(ledger, 25, 38))
        second = planned(ledger, add_one(ledger, 39, 45))
        request = add_one(ledger, 1, 60)
        if how == "keys":
            by_keys = ledger.on(places).keys(range(1, 61)).update(score=col("score") + 1000)
            request = by_keys.by("user:1").batch_size(SIZE)
        request = request.streaming() if how == "streaming" else request.on_locked("skip")
        execution = request.submit() if how != "run" else request.run()
        execution.finish()
        assert execution.status == "completed"
        counts = execution.progress()
        assert (counts.total, counts.applied, counts.skipped) == (60, 39, 21)
        whose = {key: first.id if key < 39 else second.id for key in range(25, 46)}
        told = {key: ("locked", f"execution {owner}") for key, owner in whose.items()}
        assert skipped(execution) == told
        assert set(scores(connection)) == set(range(1, 61)) - set(whose)
        first.finish()
        second.finish()
        assert set(scores(connection)) == set(range(1, 61))
        check_invariants(connection, ledger=ledger, tables=["places"])
        assert verified(ledger) == []

    def test_all_of_them(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        execution = add_one(ledger, 3, 4).on_locked("skip").run()
        assert (execution.status, execution.progress().skipped) == ("completed", 2)
        assert locks(ledger) == {first.id: ("held", 30)}
        check_invariants(connection, ledger=ledger, open_jobs=True)

    def test_its_lock_is_of_what_it_got(self, ledger: Ledger) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        second = planned(ledger, add_one(ledger, 21, 60).on_locked("skip"))
        assert locks(ledger) == {first.id: ("held", 30), second.id: ("held", 30)}
        first.finish()
        add_one(ledger, 21, 30).run()  # which the second left
        with pytest.raises(RecordsLocked):
            add_one(ledger, 31, 31).run()

    def test_streaming_locks_page_by_page(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        execution = planned(ledger, add_one(ledger, 1, 90).streaming())
        assert locks(ledger) == {execution.id: ("held", 40)}
        with pytest.raises(RecordsLocked):
            add_one(ledger, 40, 40).run()
        add_one(ledger, 90, 90).run()
        last = planned(ledger, add_one(ledger, 71, 80))  # the whole last batch of the next page
        execution.finish()
        assert execution.progress().skipped == 10
        assert execution.progress().total == 90
        last.finish()
        check_invariants(connection, ledger=ledger, tables=["places"])
