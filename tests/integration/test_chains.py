"""Chains: steps in their order, what becomes of them when one fails, and the undo of the whole."""

import threading

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import (
    ActorMissing,
    ChainClosed,
    ChainNotFound,
)
from action_ledger.ops import Ledger
from tests.chains import (
    RECORDS,
    add_one,
    added,
    added_in,
    break_third,
    make_tables,
    states,
    story,
    three,
)
from tests.invariants import check_invariants

STEP = ["step_started", "step_ended"]
BACK = ["step_compensating", "step_compensated"]


@pytest.fixture(autouse=True)
def tables(connection: Connection[DictRow]) -> None:
    make_tables(connection)


class TestOrder:
    def test_predecessor_chain_of_actions(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        chain = three(ledger).run()
        assert chain.status == "completed"
        assert story(chain) == ["requested", *STEP, *STEP, *STEP, "completed"]
        assert states(chain) == ["completed"] * 3
        assert [step.applied for step in chain.steps()] == [RECORDS] * 3
        assert added(connection) == [[1], [1], [1]]
        view = chain.view()
        assert (view.steps, view.step, view.completed, view.failed) == (3, 3, 3, 0)
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])

    def test_what_somebody_asks_for_of_a_step_is_not_the_chains(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        chain = three(ledger).run()
        undo = ledger.execution(chain.steps()[1].execution_id).undo(by="user:2").run()
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])
        undo.redo(by="user:2").keys([1]).run()
        chain.undo(by="user:1").finish()
        assert (chain.status, added(connection)) == ("compensated", [[0], [0], [0]])
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])

    def test_each_step_sees_what_those_before_did(self, ledger: Ledger) -> None:
        marked = ledger.on("first").where(col("id") <= 10).update(note="marked")
        raised = ledger.on("first").where(col("note") == "marked").update(score=col("score") + 1)
        chain = marked.then(raised).by("user:1").run()
        assert [step.applied for step in chain.steps()] == [10, 10]

    def test_each_step_is_an_execution_that_hangs_together_with_the_chain(
        self, ledger: Ledger
    ) -> None:
        chain = three(ledger).run()
        audit = chain.audit()
        assert {entry.correlation_id for entry in audit} == {chain.id}
        requested = [entry for entry in audit if entry.topic == "execution.requested"]
        steps = chain.steps()
        assert [entry.execution_id for entry in requested] == [step.execution_id for step in steps]
        for step in steps:
            first = ledger.execution(step.execution_id).events()[0].event
            assert first.metadata.causation_id == chain.id
            assert first.metadata.actor == "user:1"

    def test_a_step_with_keys_and_one_without_records(self, ledger: Ledger) -> None:
        keyed = ledger.on("first").keys([1, 2, 99]).update(note="x")
        empty = ledger.on("second").keys([]).update(note="x")
        chain = keyed.then(empty).then(add_one(ledger, "third")).by("user:1").run()
        assert chain.status == "completed"
        assert [step.applied for step in chain.steps()] == [2, 0, RECORDS]


class TestFailure:
    def test_predecessor_fault_14_a_chain_that_fails_leaves_the_records_as_they_were(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        break_third(connection)
        chain = three(ledger).run()
        assert chain.status == "compensated"
        assert added(connection) == [[0], [0], [0]]
        assert states(chain) == ["compensated", "compensated", "failed"]
        assert story(chain) == [
            *("requested", *STEP, *STEP, *STEP, "compensating", "step_compensated"),
            *(*BACK, *BACK, "compensated"),
        ]
        undone = [entry.execution_id for entry in chain.audit() if entry.topic == "undo.requested"]
        steps = chain.steps()
        assert undone == [steps[1].execution_id, steps[0].execution_id]  # the newest first
        assert chain.view().kept_back == 0
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])

    def test_what_the_failed_step_did_itself_is_taken_back_too(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        connection.execute("ALTER TABLE third ADD CHECK (id < 25 OR score <= id)")
        chain = three(ledger).run()
        assert chain.steps()[2].applied == 24
        assert chain.status == "compensated"
        assert states(chain) == ["compensated"] * 3
        assert added(connection) == [[0], [0], [0]]

    def test_stop(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        break_third(connection)
        chain = three(ledger).on_failure("stop").run()
        assert (chain.status, chain.view().error) == ("failed", "step_failed")
        assert added(connection) == [[1], [1], [0]]

    def test_continue(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        break_third(connection)
        first, second, third = (add_one(ledger, table) for table in ("first", "second", "third"))
        chain = first.then(third, on_failure="continue").then(second).by("user:1").run()
        assert chain.status == "completed"
        assert states(chain) == ["completed", "failed", "completed"]
        assert (chain.view().completed, chain.view().failed) == (2, 1)
        assert added(connection) == [[1], [1], [0]]

    def test_records_that_may_fail_do_not_fail_the_step(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        connection.execute("ALTER TABLE third ADD CHECK (id < 25 OR score <= id)")
        some = add_one(ledger, "third").on_failure("stop", max_failures=6)
        chain = add_one(ledger, "first").then(some).by("user:1").run()
        assert chain.status == "completed"
        fewer = add_one(ledger, "third").on_failure("stop", max_failures=5)
        chain = add_one(ledger, "first").then(fewer).by("user:1").run()
        assert (chain.status, chain.view().error) == ("compensated", "too_many_failures")

    def test_a_step_that_is_refused_when_its_turn_comes(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        chain = three(ledger).submit()
        connection.execute("ALTER TABLE third RENAME score TO points")
        chain.finish()
        assert (chain.status, chain.view().error) == ("compensated", "unknown_column")
        assert states(chain) == ["compensated", "compensated", "refused"]
        assert added_in(connection, "first") == added_in(connection, "second") == [0]

    def test_records_that_others_changed_since_are_left_and_counted(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        break_third(connection)
        chain = three(ledger).submit()
        while states(chain)[1] == "waiting":
            chain.advance()
            ledger.worker().step()
        connection.execute("UPDATE first SET score = 1000 WHERE id <= 3")
        chain.finish()
        assert (chain.status, chain.view().kept_back) == ("compensated", 3)
        assert added_in(connection, "first") == [0, 997, 998, 999]

    def test_an_undo_that_fails_ends_it_and_can_be_asked_for_again(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        break_third(connection)
        connection.execute("ALTER TABLE second ADD CONSTRAINT only_up CHECK (score > 0)")
        chain = three(ledger).submit()
        while states(chain)[2] == "waiting":
            chain.advance()
            ledger.worker().step()
        connection.execute("ALTER TABLE second RENAME score TO points")
        chain.finish()
        assert chain.status == "failed"
        assert added_in(connection, "first") == [1]  # what stands on it is not taken back
        connection.execute("ALTER TABLE second RENAME points TO score")
        chain.undo(by="user:2").finish()
        assert chain.status == "compensated"
        assert added(connection) == [[0], [0], [0]]
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])


class TestUndo:
    def test_the_whole_newest_first(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        doubled = ledger.on("first").all().update(score=col("score") * 2)
        chain = add_one(ledger, "first").then(doubled).by("user:1").run()
        chain.undo(by="user:2", reason="T-2").finish()
        assert chain.status == "compensated"
        assert added(connection) == [[0], [0], [0]]
        asked = [entry for entry in chain.audit() if entry.topic == "undo.requested"]
        assert {entry.actor for entry in asked} == {"user:2"}
        with pytest.raises(ChainClosed, match="compensated"):
            chain.undo(by="user:2")
        check_invariants(connection, ledger=ledger, tables=["first"])

    def test_by_eight_at_once_is_done_once(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        chain = three(ledger).run()
        refused: list[ChainClosed] = []

        def undo() -> None:
            try:
                chain.undo(by="user:2").finish()
            except ChainClosed as error:
                refused.append(error)

        threads = [threading.Thread(target=undo) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        chain.finish()
        assert len(refused) == 7
        assert added(connection) == [[0], [0], [0]]
        assert story(chain).count("compensating") == 1
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])

    def test_not_while_it_is_under_way(self, ledger: Ledger) -> None:
        chain = three(ledger).submit()
        with pytest.raises(ChainClosed, match="running"):
            chain.undo(by="user:2")


class TestSteering:
    def test_a_cancelled_chain_begins_nothing_more_and_can_be_undone(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        chain = three(ledger).submit()
        while states(chain)[1] != "running":
            chain.advance()
            ledger.worker().step()
        ledger.worker().step()  # the second is planned, and one batch of it done
        chain.cancel(by="user:2")
        assert chain.status == "cancelled"
        assert story(chain)[-3:] == ["step_started", "step_ended", "cancelled"]
        second = ledger.execution(chain.steps()[1].execution_id)
        assert (second.status, second.progress().applied) == ("cancelled", RECORDS // 3)
        assert not chain.advance()
        assert added(connection) == [[1], [0, 1], [0]]
        chain.undo(by="user:2").finish()
        assert (chain.status, added(connection)) == ("compensated", [[0], [0], [0]])
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])

    def test_a_paused_chain_rests_with_its_step(self, ledger: Ledger) -> None:
        chain = three(ledger).submit()
        chain.advance()
        chain.pause(by="user:2")
        execution = ledger.execution(chain.steps()[0].execution_id)
        assert (chain.status, execution.status) == ("paused", "paused")
        chain.finish()
        assert not ledger.worker().step()
        assert states(chain) == ["running", "waiting", "waiting"]
        chain.resume(by="user:2")
        chain.finish()
        assert chain.status == "completed"
        assert [topic for topic in story(chain) if topic in {"paused", "resumed"}] == [
            "paused",
            "resumed",
        ]

    def test_a_paused_chain_does_not_go_on_when_its_step_ends(self, ledger: Ledger) -> None:
        chain = three(ledger).submit()
        chain.advance()
        chain.pause(by="user:2")
        execution = ledger.execution(chain.steps()[0].execution_id)
        execution.resume(by="user:2")
        execution.finish()
        assert not chain.advance()
        chain.resume(by="user:2")
        assert chain.advance()
        assert states(chain) == ["completed", "running", "waiting"]

    def test_a_step_that_somebody_cancels_has_failed(self, ledger: Ledger) -> None:
        chain = three(ledger).submit()
        chain.advance()
        ledger.execution(chain.steps()[0].execution_id).cancel(by="user:2")
        chain.finish()
        assert (chain.status, states(chain)[0]) == ("compensated", "failed")

    def test_what_its_state_does_not_allow_is_refused(self, ledger: Ledger) -> None:
        chain = three(ledger).run()
        for act in (chain.pause, chain.resume, chain.cancel):
            with pytest.raises(ChainClosed, match="completed"):
                act(by="user:2")
        with pytest.raises(ActorMissing):
            chain.cancel()
        with pytest.raises(ChainNotFound):
            ledger.chain("01890a5d-ac96-774b-bcce-b302099a8057").cancel(by="user:2")
        with pytest.raises(ChainNotFound):
            ledger.chain("no id")
