"""Who comes second waits in order, and nobody comes in between."""

from threading import Thread

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    RecordsLocked,
)
from action_ledger.ops import ExecutionHandle, Ledger
from tests.invariants import check_invariants
from tests.locking import SIZE, add_one, locks, planned, scores
from tests.some_work import verified

pytestmark = pytest.mark.usefixtures("places")


class TestWait:
    def test_in_order_and_on_what_is_there_then(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        second = planned(ledger, add_one(ledger, 21, 60).on_locked("wait"))
        third = planned(ledger, add_one(ledger, 51, 90).on_locked("wait"))
        assert (second.status, third.status) == ("requested", "requested")
        assert second.progress().waits_for == (first.id,)
        assert third.progress().waits_for == (second.id,), "first come, first served"
        assert locks(ledger)[second.id] == ("waiting", 40)
        worker = ledger.worker()
        assert not worker.step(second.id)
        assert not worker.step(third.id)
        with pytest.raises(RecordsLocked):
            add_one(ledger, 55, 55).run()  # nobody overtakes
        check_invariants(connection, ledger=ledger, open_jobs=True)
        connection.execute("DELETE FROM places WHERE id = 60")
        connection.execute("INSERT INTO places SELECT 1000, 'x', 'FR', 1000")
        while first.status != "completed":
            assert not worker.step(third.id)
            worker.step(first.id)
        assert not worker.step(third.id)
        second.finish()
        third.finish()
        assert second.progress().applied == 39, "the row that went was not planned"
        assert third.progress().applied == 39
        assert scores(connection)[21] == 2000
        assert ledger.locks() == []
        check_invariants(connection, ledger=ledger, tables=["places"])
        assert verified(ledger) == []

    def test_run_waits_in_the_process(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        done: list[ExecutionHandle] = []
        thread = Thread(target=lambda: done.append(add_one(ledger, 5, 6).on_locked("wait").run()))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert done == []
        first.finish()
        thread.join(30)
        assert done[0].status == "completed"
        assert scores(connection)[5] == 2000

    def test_keys_that_came_once_are_kept(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        by_keys = ledger.on(places).keys(iter(range(25, 50))).update(score=col("score") + 1000)
        execution = by_keys.by("user:1").batch_size(SIZE).on_locked("wait").submit()
        assert (execution.status, execution.progress().total) == ("requested", 0)
        first.finish()
        execution.finish()
        assert execution.progress().applied == 25
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize("by", ["condition", "keys"])
    def test_cancelled_while_it_waits(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], by: str
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        request = add_one(ledger, 21, 40)
        if by == "keys":
            request = ledger.on(places).keys(range(21, 41)).delete().by("user:1")
        second = request.on_locked("wait").submit()
        third = add_one(ledger, 35, 50).on_locked("wait").submit()
        ledger.worker().step()
        ledger.worker().step()
        second.cancel(by="user:2")
        assert second.status == "cancelled"
        assert second.id not in locks(ledger)
        third.finish()
        assert third.status == "completed"
        left = "SELECT FROM action_ledger.key_sets WHERE execution_id = %s"
        assert connection.execute(left, [second.id]).rowcount == 0
        first.finish()
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_paused_while_it_waits_it_keeps_its_place(self, ledger: Ledger) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        second = planned(ledger, add_one(ledger, 21, 40).on_locked("wait"))
        second.pause(by="user:2")
        first.finish()
        assert not ledger.worker().step()
        with pytest.raises(RecordsLocked) as refused:
            add_one(ledger, 40, 40).run()
        assert refused.value.owners == (str(second.id),)
        second.resume(by="user:2")
        second.finish()
        assert second.status == "completed"

    def test_it_looks_again_and_may_find_others(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        """What it wants by then is another's: it goes on waiting, and has its old place."""
        first = planned(ledger, add_one(ledger, 1, 30))
        chosen = ledger.on(places).where(col("country") == "XX").update(score=0).by("user:1")
        second = None
        connection.execute("UPDATE places SET country = 'XX' WHERE id IN (30, 31)")
        second = planned(ledger, chosen.on_locked("wait"))
        assert second.progress().waits_for == (first.id,)
        other = planned(ledger, add_one(ledger, 61, 90))
        connection.execute("UPDATE places SET country = 'XX' WHERE id IN (61, 62)")
        first.finish()
        assert ledger.worker().step(second.id)
        assert second.progress().waits_for == (other.id,)
        other.finish()
        second.finish()
        assert second.progress().applied == 4
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_nobody_is_looked_at_who_waits(self, ledger: Ledger) -> None:
        planned(ledger, add_one(ledger, 1, 30)).pause(by="user:2")
        second = planned(ledger, add_one(ledger, 21, 40).on_locked("wait"))
        worker = ledger.worker()
        assert [worker.step(), worker.step(second.id), worker.done] == [False, False, 0]
