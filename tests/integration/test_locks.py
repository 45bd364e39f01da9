"""Records are locked from planning to the end: who comes second is refused, leaves them, or waits in order."""

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    ExecutionEnded,
    InvalidParameters,
    LockNotHeld,
    RecordsLocked,
    UndoInProgress,
)
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.ops.builder import Request
from tests.integration.conftest import PLACES
from tests.integration.test_steering import at_step
from tests.invariants import check_invariants
from tests.some_work import verified

SIZE = 10


def add_one(ledger: Ledger, lo: int, hi: int) -> Request:
    chosen = (col("id") >= lo) & (col("id") <= hi)
    request = ledger.on("places").where(chosen).update(score=col("score") + 1000)
    return request.by("user:1").batch_size(SIZE)


def planned(ledger: Ledger, request: Request) -> ExecutionHandle:
    execution = request.submit()
    ledger.worker().step(execution.id)
    return execution


def locks(ledger: Ledger) -> dict[Any, tuple[str, int]]:
    return {
        view.undo_id or view.execution_id: (view.status, view.records) for view in ledger.locks()
    }


def skipped(execution: ExecutionHandle) -> dict[int, tuple[str, str | None]]:
    return {int(one.key[0]): (one.reason, one.message) for one in execution.skipped()}


def scores(connection: Connection[DictRow]) -> dict[int, int]:
    rows = connection.execute(
        "SELECT id, score - id AS added FROM places WHERE score <> id"
    ).fetchall()
    return {row["id"]: row["added"] for row in rows}


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
        self, ledger: Ledger, places: str, connection: Connection[DictRow], end: str
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
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
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
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
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
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        add_one(ledger, 1, 5).run()
        told = connection.execute(
            "SELECT FROM action_ledger.stored_events WHERE topic LIKE 'record_lock.%'"
        )
        assert told.rowcount == 0


class TestFail:
    def test_run_is_refused_and_says_by_whom(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
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
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        planned(ledger, add_one(ledger, 1, 30))
        late = add_one(ledger, 30, 99).submit()
        late.finish()
        assert (late.status, late.error) == ("failed", "records_locked")
        assert scores(connection) == {}
        check_invariants(connection, ledger=ledger, open_jobs=True)

    def test_keys_are_refused_as_they_are_given(self, ledger: Ledger, places: str) -> None:
        planned(ledger, add_one(ledger, 1, 30))
        by_keys = ledger.on(places).keys(range(30, 99)).delete().by("user:2")
        with pytest.raises(RecordsLocked):
            by_keys.submit()
        by_keys.target.ledger.on(places).keys([31, 32]).delete().by("user:2").run()

    def test_streaming_plans_want_another_policy(self, ledger: Ledger, places: str) -> None:
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

    def test_all_of_them(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        execution = add_one(ledger, 3, 4).on_locked("skip").run()
        assert (execution.status, execution.progress().skipped) == ("completed", 2)
        assert locks(ledger) == {first.id: ("held", 30)}
        check_invariants(connection, ledger=ledger, open_jobs=True)

    def test_its_lock_is_of_what_it_got(self, ledger: Ledger, places: str) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        second = planned(ledger, add_one(ledger, 21, 60).on_locked("skip"))
        assert locks(ledger) == {first.id: ("held", 30), second.id: ("held", 30)}
        first.finish()
        add_one(ledger, 21, 30).run()  # which the second left
        with pytest.raises(RecordsLocked):
            add_one(ledger, 31, 31).run()

    def test_streaming_locks_page_by_page(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
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


class TestWait:
    def test_in_order_and_on_what_is_there_then(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
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
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
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

    @pytest.mark.parametrize("keys", [False, True])
    def test_cancelled_while_it_waits(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], keys: bool
    ) -> None:
        first = planned(ledger, add_one(ledger, 1, 30))
        request = add_one(ledger, 21, 40)
        if keys:
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

    def test_paused_while_it_waits_it_keeps_its_place(self, ledger: Ledger, places: str) -> None:
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

    def test_nobody_is_looked_at_who_waits(
        self, ledger: Ledger, places: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        planned(ledger, add_one(ledger, 1, 30)).pause(by="user:2")
        second = planned(ledger, add_one(ledger, 21, 40).on_locked("wait"))
        worker = ledger.worker()
        assert [worker.step(), worker.step(second.id), worker.done] == [False, False, 0]


class TestBroken:
    @pytest.mark.parametrize("step", ["batch.claimed", "batch.applied"])
    def test_a_batch_at_work_writes_nothing(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], step: str
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

    def test_a_plan_at_work_is_not_there_yet(self, ledger: Ledger, places: str) -> None:
        execution = add_one(ledger, 1, 40).submit()
        with pytest.raises(LockNotHeld):
            execution.break_lock(by="user:2")
        assert execution.status == "requested"

    def test_only_what_is_held(self, ledger: Ledger, places: str) -> None:
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
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
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
        self, ledger: Ledger, places: str, connection: Connection[DictRow], which: str
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

    def test_two_of_one_execution_are_told_as_before(self, ledger: Ledger, places: str) -> None:
        done = add_one(ledger, 1, 30).run()
        undo = done.undo(by="user:2").batches([1]).submit()
        with pytest.raises(UndoInProgress):
            done.undo(by="user:2").run()
        other = done.undo(by="user:2").batches([2]).submit()
        undo.finish()
        other.finish()
        assert done.undo(by="user:2").run().progress().applied == 10

    def test_skipped_since_it_was_locked_is_no_part_of_the_undo(
        self, ledger: Ledger, places: str
    ) -> None:
        planned(ledger, add_one(ledger, 21, 30))
        done = add_one(ledger, 1, 40).on_locked("skip").run()
        assert done.undo(by="user:2").run().progress().applied == 30


KEYS: dict[str, tuple[str, str, Callable[[int], Any]]] = {
    "uuid": ("id uuid", "id", lambda n: f"00000000-0000-0000-0000-{n * 7919 % 1000:012d}"),
    "text": ("id text", "id", lambda n: f"k{n}"),
    "c": ('id text COLLATE "C"', "id", lambda n: ("k" if n % 2 else "K") + str(n)),
    "two": ("id text, no int", "id, no", lambda n: (f"k{n % 7}", n)),
    "int first": ("no int, id text", "no, id", lambda n: (n // 10, f"k{n}")),
    "numeric": ("id numeric", "id", lambda n: n / 4),
    "date": ("id date", "id", lambda n: f"2020-{n % 12 + 1:02d}-{n // 12 + 1:02d}"),
}


class TestKeys:
    @pytest.mark.parametrize("name", KEYS)
    def test_of_every_type(
        self, ledger: Ledger, connection: Connection[DictRow], name: str
    ) -> None:
        columns, key, of = KEYS[name]
        connection.execute(
            f"CREATE TABLE things ({columns}, score int NOT NULL, PRIMARY KEY ({key}))".encode()
        )
        places = sql.SQL(", ").join([sql.Placeholder()] * (key.count(",") + 1))
        insert = sql.SQL("INSERT INTO things VALUES ({}, %s)").format(places)
        for n in range(100):
            made = of(n)
            connection.execute(insert, [*(made if isinstance(made, tuple) else (made,)), n])
        things = ledger.on("things")
        low = things.where(col("score") < 60).update(score=col("score") + 0).by("a").batch_size(9)
        first = planned(ledger, low)
        with pytest.raises(RecordsLocked) as refused:
            things.where(col("score") >= 50).delete(hard=True).by("b").batch_size(7).run()
        assert refused.value.records == (10,)
        with pytest.raises(RecordsLocked):
            things.keys([of(70), of(59)]).delete(hard=True).by("b").run()
        things.keys([of(70), of(60)]).delete(hard=True).by("b").run()
        rest = things.where(col("score") >= 50).update(score=0).by("b").batch_size(7)
        left = rest.on_locked("skip").run()
        assert (left.progress().applied, left.progress().skipped) == (38, 10)
        first.finish()
        check_invariants(connection, ledger=ledger)

    def test_under_a_collation_that_takes_different_texts_for_equal(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        connection.execute(
            "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
        connection.execute("CREATE TABLE things (id text COLLATE blind PRIMARY KEY, score int)")
        connection.execute("INSERT INTO things VALUES ('one', 1), ('two', 2), ('three', 3)")
        things = ledger.on("things")
        first = planned(
            ledger, things.where(col("score") < 3).update(score=9).by("a").batch_size(1)
        )
        with pytest.raises(RecordsLocked) as refused:
            things.keys(["TWO", "THREE"]).update(score=8).by("b").run()
        assert refused.value.records == (1,)
        first.finish()

    def test_tables_do_not_mix(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        connection.execute("CREATE TABLE things (id uuid PRIMARY KEY, score int)")
        connection.execute(
            "INSERT INTO things SELECT gen_random_uuid(), 1 FROM generate_series(1, 20)"
        )
        first = planned(ledger, add_one(ledger, 1, PLACES))
        planned(ledger, ledger.on("things").where(col("score") == 7).update(score=2).by("a"))
        second = planned(ledger, ledger.on("things").all().update(score=2).by("a").batch_size(5))
        with pytest.raises(RecordsLocked) as refused:
            ledger.on("things").all().update(score=2).by("a").batch_size(5).run()
        assert refused.value.owners == (str(second.id),)
        assert set(locks(ledger)) == {first.id, second.id}
