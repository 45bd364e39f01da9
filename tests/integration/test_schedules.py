"""A schedule when its time comes: what it becomes, with which records, and what a refusal does."""

import time
from datetime import timedelta

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.schedule import occurrence_id
from action_ledger.ops import Ledger
from tests.invariants import check_invariants
from tests.schedules import (
    add_one,
    database_time,
    fire,
    hourly,
    hours_ago,
    overdue,
    score,
    topics,
    work,
)


@pytest.mark.usefixtures("places")
class TestFiring:
    @pytest.mark.every_postgres
    def test_one_time(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        due = database_time(ledger) + timedelta(seconds=0.4)
        schedule = add_one(ledger).schedule(at=due)
        assert (schedule.status, schedule.next()) == ("active", due)
        work(ledger)
        assert score(connection) == 0
        time.sleep(0.5)
        work(ledger)
        assert score(connection) == 1
        (run,) = schedule.runs()
        assert (run.outcome, run.occurrence, run.status, run.applied) == (
            "fired",
            due,
            "completed",
            100,
        )
        assert run.execution_id == occurrence_id(schedule.id, due)
        assert topics(schedule) == ["created", "fired", "ended"]
        assert (schedule.status, schedule.next(), schedule.upcoming()) == ("ended", None, [])
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_again_and_again(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        schedule = hourly(ledger)
        execution = fire(ledger, schedule)
        assert (execution.status, score(connection)) == ("completed", 1)
        assert schedule.status == "active"
        due = schedule.next()
        assert due is not None
        assert due > database_time(ledger)
        assert due - hours_ago(ledger, 0) == timedelta(hours=1)
        schedule.reschedule(cron="30 3 29 2 *", timezone="UTC", by="u")
        overdue(ledger, schedule.id, hours_ago(ledger, 1))
        work(ledger)
        assert score(connection) == 2
        assert {run.execution_id for run in schedule.runs()} > {execution.id}

    def test_not_before_its_time(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        add_one(ledger).schedule(at=database_time(ledger) + timedelta(hours=1))
        hourly(ledger).pause(by="u")
        assert not ledger.scheduler().step()
        work(ledger)
        assert score(connection) == 0

    def test_the_execution_hangs_together_with_the_schedule(self, ledger: Ledger) -> None:
        schedule = hourly(ledger)
        execution = fire(ledger, schedule)
        requested = execution.events()[0].event
        assert requested.metadata.actor == "user:1"
        assert requested.metadata.causation_id == schedule.id
        assert requested.metadata.correlation_id == schedule.id
        trail = ledger.audit(execution_id=schedule.id)
        assert [entry.topic for entry in trail] == [
            "schedule.created",
            "schedule.rescheduled",
            "schedule.fired",
        ]
        assert trail[-1].details["execution_id"] == str(execution.id)
        assert {e.correlation_id for e in ledger.audit(execution_id=execution.id)} == {schedule.id}

    def test_reason_options_and_queue_go_along(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        request = (
            ledger.on("places").where(col("id") <= 50).archive("old").by("user:1", reason="T-1")
        )
        request = request.batch_size(20).queue("bulk", priority=7).undoable(days=3)
        schedule = request.schedule(cron="0 3 * * *", timezone="Europe/Paris")
        row = fire(ledger, schedule).row()
        assert (row["queue"], row["priority"], row["batch_size"]) == ("bulk", 7, 20)
        assert (row["undo_seconds"], row["action"], row["batches"]) == (3 * 86_400, "archive", 3)
        bodies = connection.execute(
            "SELECT body ->> 'reason' AS reason FROM action_ledger.request_bodies"
        ).fetchall()
        assert [body["reason"] for body in bodies] == ["T-1", "T-1"]
        events = connection.execute(
            "SELECT convert_from(state, 'UTF8') AS state FROM action_ledger.stored_events"
        ).fetchall()
        assert not [event for event in events if "T-1" in event["state"]]

    def test_streaming(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        request = add_one(ledger).batch_size(7).streaming()
        fire(ledger, request.schedule(cron="0 * * * *", timezone="UTC"))
        assert score(connection, 100) == 1
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_it_can_be_undone(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        fire(ledger, hourly(ledger)).undo(by="u").run()
        assert score(connection) == 0
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_a_worker_of_the_ledger_fires(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        schedule = hourly(ledger)
        overdue(ledger, schedule.id, hours_ago(ledger, 0))
        deadline = time.monotonic() + 20
        ledger.work(lambda: score(connection) > 0 or time.monotonic() > deadline)
        assert score(connection) == 1


@pytest.mark.usefixtures("places")
class TestRefusedAtItsTime:
    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ("DROP TABLE places", "unknown_table"),
            ("ALTER TABLE places DROP COLUMN score", "unknown_column"),
            ("ALTER TABLE places ENABLE ROW LEVEL SECURITY", "context_required"),
            ("ALTER TABLE places ALTER score TYPE text", "invalid_expression"),
        ],
    )
    def test_it_goes_on_with_the_next(
        self, ledger: Ledger, connection: Connection[DictRow], change: str, code: str
    ) -> None:
        schedule = hourly(ledger)
        connection.execute(change.encode())
        overdue(ledger, schedule.id, hours_ago(ledger, 0))
        work(ledger)
        (run,) = schedule.runs()
        assert (run.outcome, run.error, run.execution_id) == ("failed", code, None)
        view = schedule.view()
        assert (view.status, view.failed, view.last_error, view.fired) == ("active", 1, code, 0)
        assert view.due_at is not None
        assert view.due_at > database_time(ledger)
        assert topics(schedule) == ["created", "failed_to_fire"]
        assert not ledger.scheduler().step()
        check_invariants(connection, ledger=ledger)

    def test_the_last_time_ends_it(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        schedule = add_one(ledger).schedule(at=database_time(ledger) + timedelta(hours=1))
        overdue(ledger, schedule.id, hours_ago(ledger, 1))
        connection.execute("DROP TABLE places")
        work(ledger)
        assert topics(schedule) == ["created", "failed_to_fire", "ended"]
        assert schedule.status == "ended"

    def test_another_key_under_a_frozen_selection(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        schedule = add_one(ledger).schedule(cron="0 * * * *", timezone="UTC", selection="frozen")
        connection.execute("ALTER TABLE places DROP CONSTRAINT places_pkey, ADD PRIMARY KEY (name)")
        overdue(ledger, schedule.id, hours_ago(ledger, 0))
        work(ledger)
        assert schedule.runs()[0].error == "schema_drift"

    def test_the_others_are_fired_all_the_same(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        connection.execute("CREATE TABLE gone (id int PRIMARY KEY, score int)")
        broken = [hourly(ledger, "gone") for _ in range(3)]
        sound = hourly(ledger)
        connection.execute("DROP TABLE gone")
        for schedule in (*broken, sound):
            overdue(ledger, schedule.id, hours_ago(ledger, 0))
        work(ledger)
        assert [one.view().failed for one in broken] == [1, 1, 1]
        assert sound.view().fired == 1

    def test_a_fault_that_passes_is_tried_again(
        self, ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody alters the table for a while: no failure, no waiting for it, and others are fired meanwhile."""
        monkeypatch.setattr("action_ledger.workers.scheduler.TABLE_WAIT_MS", 50)
        monkeypatch.setattr("action_ledger.workers.keeping.FIRST_DELAY", 0.01)
        monkeypatch.setattr("action_ledger.workers.keeping.LONGEST_DELAY", 0.02)
        connection.execute("CREATE TABLE others (id int PRIMARY KEY, score int)")
        held, free = hourly(ledger), hourly(ledger, "others")
        overdue(ledger, held.id, hours_ago(ledger, 1))
        overdue(ledger, free.id, hours_ago(ledger, 0))
        scheduler = ledger.scheduler()
        with connection.transaction():
            connection.execute("LOCK TABLE places")
            for _ in range(6):
                scheduler.step()
                time.sleep(0.03)
            assert (held.view().fired, held.view().failed, free.view().fired) == (0, 0, 1)
            row = connection.execute(
                "SELECT attempts, last_error FROM action_ledger.schedule_queue WHERE schedule_id = %s",
                [held.id],
            ).fetchone()
        assert row is not None
        assert row["attempts"] >= 2
        assert row["last_error"] == "55P03"
        time.sleep(0.03)
        work(ledger)
        assert held.view().fired == 1
        check_invariants(connection, ledger=ledger, tables=["places"])
