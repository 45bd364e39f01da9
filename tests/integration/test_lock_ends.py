"""Locks that are broken, and those of undos."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import (
    ExecutionEnded,
    LockNotHeld,
    RecordsLocked,
    UndoInProgress,
)
from action_ledger.ops import Ledger
from tests.integration.test_steering import at_step
from tests.invariants import check_invariants
from tests.locking import add_one, planned, scores

pytestmark = pytest.mark.usefixtures("places")


class TestBroken:
    @pytest.mark.parametrize("step", ["batch.claimed", "batch.applied"])
    def test_a_batch_at_work_writes_nothing(
        self, ledger: Ledger, connection: Connection[DictRow], step: str
    ) -> None:
        execution = planned(ledger, add_one(ledger, 1, 40))
        ledger.worker().step(execution.id)

        def take_away() -> None:
            execution.break_lock(by="user:2", reason="it hangs")

        assert at_step(ledger, execution, step, take_away)
        assert (execution.status, execution.error) == ("failed", "lock_broken")
        assert set(scores(connection)) == set(range(1, 11)), "the batch before stays"
        assert ledger.locks() == []
        add_one(ledger, 11, 40).run()
        check_invariants(connection, ledger=ledger, tables=["places"])
        assert execution.undo(by="user:2").run().progress().applied == 10

    def test_a_plan_at_work_is_not_there_yet(self, ledger: Ledger) -> None:
        execution = add_one(ledger, 1, 40).submit()
        with pytest.raises(LockNotHeld):
            execution.break_lock(by="user:2")
        assert execution.status == "requested"

    def test_only_what_is_held(self, ledger: Ledger) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        second = planned(ledger, add_one(ledger, 1, 30).on_locked("wait"))
        with pytest.raises(LockNotHeld):
            second.break_lock(by="user:2")
        first.pause(by="user:2")
        first.break_lock(by="user:2")
        with pytest.raises(ExecutionEnded):
            first.break_lock(by="user:2")
        second.finish()
        assert second.status == "completed"


class TestUndo:
    def test_it_is_refused_where_others_have_its_records(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        done = add_one(ledger, 1, 30).run()
        other = planned(ledger, add_one(ledger, 30, 40))
        with pytest.raises(RecordsLocked):
            done.undo(by="user:2").run()
        assert done.undo(by="user:2").batches([1]).run().progress().applied == 10
        assert done.undo(by="user:2").keys([11, 29]).run().progress().applied == 2
        with pytest.raises(RecordsLocked):
            done.undo(by="user:2").keys([12, 30]).run()
        other.finish()
        assert done.undo(by="user:2").run().progress().applied == 17
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize("which", ["whole", "batches", "keys"])
    def test_others_are_refused_until_it_has_ended(
        self, ledger: Ledger, connection: Connection[DictRow], which: str
    ) -> None:
        done = add_one(ledger, 1, 30).run()
        request = done.undo(by="user:2")
        request = request.batches([1]) if which == "batches" else request
        undo = (request.keys([3, 4]) if which == "keys" else request).submit()
        (view,) = ledger.locks()
        assert (view.undo_id, view.execution_id, view.status) == (undo.id, done.id, "held")
        with pytest.raises(RecordsLocked) as refused:
            add_one(ledger, 3, 3).run()
        assert refused.value.owners == (str(undo.id),)
        if which != "whole":
            add_one(ledger, 30, 30).run()
        check_invariants(connection, ledger=ledger, open_jobs=True)
        undo.finish()
        assert ledger.locks() == []
        add_one(ledger, 3, 3).run()
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_two_of_one_execution_are_told_as_before(self, ledger: Ledger) -> None:
        done = add_one(ledger, 1, 30).run()
        undo = done.undo(by="user:2").batches([1]).submit()
        with pytest.raises(UndoInProgress):
            done.undo(by="user:2").run()
        other = done.undo(by="user:2").batches([2]).submit()
        undo.finish()
        other.finish()
        assert done.undo(by="user:2").run().progress().applied == 10

    def test_skipped_since_it_was_locked_is_no_part_of_the_undo(self, ledger: Ledger) -> None:
        planned(ledger, add_one(ledger, 21, 30))
        done = add_one(ledger, 1, 40).on_locked("skip").run()
        assert done.undo(by="user:2").run().progress().applied == 30
