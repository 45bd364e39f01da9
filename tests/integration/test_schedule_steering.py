"""What every steering command does to a schedule, and where it is refused."""

from datetime import timedelta
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import (
    ActionLedgerError,
    ExecutionNotFound,
    ScheduleClosed,
    ScheduleNotFound,
    UnknownTable,
)
from action_ledger.ops import Ledger
from tests.invariants import check_invariants
from tests.schedules import (
    add_one,
    database_time,
    hourly,
    hours_ago,
    overdue,
    score,
    topics,
    work,
    written,
)


@pytest.mark.usefixtures("places")
class TestSteering:
    def test_pause_and_resume(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        schedule = hourly(ledger)
        schedule.pause(by="user:2", reason="why")
        assert (schedule.status, schedule.next(), schedule.upcoming()) == ("paused", None, [])
        overdue(ledger, schedule.id, hours_ago(ledger, 2))
        work(ledger)
        assert score(connection) == 0
        schedule.resume(by="user:2")
        work(ledger)
        assert score(connection) == 0
        assert topics(schedule) == ["created", "paused", "resumed", "missed"]
        assert schedule.view().missed == 3
        assert schedule.status == "active"
        due = schedule.next()
        assert due is not None
        assert due > database_time(ledger)
        check_invariants(connection, ledger=ledger)

    def test_resume_catches_up_with_all(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        schedule = hourly(ledger, catch_up="all")
        schedule.pause(by="user:2")
        overdue(ledger, schedule.id, hours_ago(ledger, 2))
        schedule.resume(by="user:2")
        work(ledger)
        assert score(connection) == 3

    @pytest.mark.parametrize(
        ("catch_up", "story", "runs"),
        [
            ("last", ["created", "paused", "resumed", "missed", "ended"], 0),
            ("skip", ["created", "paused", "resumed", "missed", "ended"], 0),
            ("all", ["created", "paused", "resumed", "fired", "ended"], 1),
        ],
    )
    def test_one_time_that_passed_in_a_pause(
        self,
        ledger: Ledger,
        connection: Connection[DictRow],
        catch_up: str,
        story: list[str],
        runs: int,
    ) -> None:
        later = database_time(ledger) + timedelta(hours=1)
        schedule = add_one(ledger).schedule(at=later, catch_up=catch_up)
        schedule.pause(by="user:2")
        overdue(ledger, schedule.id, hours_ago(ledger, 5))
        schedule.resume(by="user:2")
        work(ledger)
        assert topics(schedule) == story
        assert score(connection) == runs
        assert schedule.status == "ended"

    def test_reschedule(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        schedule = hourly(ledger)
        schedule.reschedule(cron="30 2 * * *", timezone="Europe/Paris", by="user:2")
        view = schedule.view()
        assert (view.cron, view.timezone, view.at) == ("30 2 * * *", "Europe/Paris", None)
        assert view.due_at is not None
        assert (view.due_at.hour, view.due_at.minute) in {(2, 30), (3, 0)}
        later = database_time(ledger) + timedelta(hours=3)
        schedule.reschedule(at=later, by="user:2")
        assert (schedule.view().at, schedule.view().cron) == (later, None)
        assert schedule.next() == later
        work(ledger)
        assert score(connection) == 0

    def test_reschedule_says_what_does_not_run_any_more(self, ledger: Ledger) -> None:
        schedule = hourly(ledger)
        overdue(ledger, schedule.id, hours_ago(ledger, 1))
        schedule.reschedule(cron="0 3 * * *", timezone="UTC", by="user:2")
        assert topics(schedule) == ["created", "missed", "rescheduled"]
        assert schedule.view().missed == 2

    def test_a_paused_one_is_rescheduled_and_stays_paused(self, ledger: Ledger) -> None:
        schedule = hourly(ledger)
        schedule.pause(by="user:2")
        schedule.reschedule(cron="0 3 * * *", timezone="UTC", by="user:2")
        assert schedule.status == "paused"
        schedule.resume(by="user:2")
        due = schedule.next()
        assert due is not None
        assert due.hour == 3

    @pytest.mark.parametrize(
        "rule",
        [
            {"cron": "bad", "timezone": "UTC"},
            {"at": "2001-01-01", "timezone": "UTC"},
            {"at": "2999-01-01", "timezone": "UTC"},
            {"cron": "0 * * * *", "timezone": "No/Where"},
            {},
        ],
    )
    def test_a_bad_rule_leaves_it_as_it_was(
        self, ledger: Ledger, connection: Connection[DictRow], rule: dict[str, str]
    ) -> None:
        schedule = hourly(ledger)
        before = written(connection), schedule.view()
        with pytest.raises(ActionLedgerError):
            schedule.reschedule(**rule, by="user:2")
        assert (written(connection), schedule.view()) == before

    def test_cancel(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        schedule = hourly(ledger)
        overdue(ledger, schedule.id, hours_ago(ledger, 1))
        schedule.cancel(by="user:2")
        work(ledger)
        assert score(connection) == 0
        assert (schedule.status, schedule.view().due_at) == ("cancelled", None)
        assert not connection.execute("SELECT FROM action_ledger.schedule_queue").fetchall()
        check_invariants(connection, ledger=ledger)

    def test_run_now_does_not_move_the_plan(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        schedule = add_one(ledger).schedule(cron="0 3 * * *", timezone="UTC")
        due = schedule.next()
        execution = schedule.run_now(by="user:2")
        work(ledger)
        assert (execution.status, score(connection)) == ("completed", 1)
        assert schedule.next() == due
        (run,) = schedule.runs()
        assert (run.manual, run.execution_id) == (True, execution.id)
        fired = schedule.events()[-1].event
        assert fired.metadata.actor == "user:2"
        assert execution.row()["actor"] == "user:1"

    def test_run_now_of_a_paused_one(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        schedule = hourly(ledger)
        schedule.pause(by="user:2")
        schedule.run_now(by="user:2")
        schedule.run_now(by="user:2")
        work(ledger)
        assert (score(connection), schedule.status) == (2, "paused")

    def test_run_now_that_cannot_be_leaves_nothing(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        schedule = hourly(ledger)
        connection.execute("DROP TABLE places")
        before = written(connection)
        with pytest.raises(UnknownTable):
            schedule.run_now(by="user:2")
        assert written(connection) == before
        assert schedule.view().failed == 0

    def test_what_the_state_does_not_allow(self, ledger: Ledger) -> None:
        schedule = hourly(ledger)
        with pytest.raises(ScheduleClosed, match="active"):
            schedule.resume(by="u")
        schedule.pause(by="u")
        with pytest.raises(ScheduleClosed, match="paused"):
            schedule.pause(by="u")
        schedule.cancel(by="u")
        for act in (schedule.pause, schedule.resume, schedule.cancel, schedule.run_now):
            with pytest.raises(ScheduleClosed, match="cancelled") as caught:
                act(by="u")
            assert caught.value.status == "cancelled"
        with pytest.raises(ScheduleClosed):
            schedule.reschedule(cron="0 * * * *", timezone="UTC", by="u")

    def test_what_is_not_there(self, ledger: Ledger) -> None:
        schedule = ledger.schedule(uuid4())
        for act in (schedule.view, schedule.next, schedule.runs, schedule.upcoming):
            with pytest.raises(ScheduleNotFound):
                act()
        with pytest.raises(ScheduleNotFound):
            schedule.pause(by="u")
        with pytest.raises(ScheduleNotFound):
            ledger.schedule("no id")
        with pytest.raises(ExecutionNotFound):
            _ = ledger.execution(schedule.id).status

    def test_somebody_must_be_named(self, ledger: Ledger) -> None:
        schedule = hourly(ledger)
        for by in (None, "", "  "):
            with pytest.raises(ActionLedgerError) as caught:
                schedule.pause(by=by)
            assert caught.value.code == "actor_missing"
