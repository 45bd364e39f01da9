"""Processes whose clocks are a day off ask, undo, confirm, schedule, fire, tell and keep: only the database's clock counts."""

from datetime import datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import Notice
from action_ledger.domain.errors import UndoExpired
from action_ledger.ops import open_ledger
from action_ledger.ops.roster import read_workers
from tests.crash.harness import make_places, scores, topics, until
from tests.invariants import check_invariants
from tests.other_clock import NEAR, SHIFTS, elsewhere
from tests.schedules import add_one, database_time, hourly, hours_ago
from tests.worker_process import worker

pytestmark = [
    pytest.mark.fault(10),
    pytest.mark.crash,
    pytest.mark.parametrize("shift", SHIFTS),
]
DAY = 86_400
HALF_A_DAY = 0.5
A_SECOND = 1 / DAY
"""In days."""


def times_are_the_databases(connection: Connection[DictRow], since: datetime) -> None:
    """See that all events are of the time since, and in the order of their positions."""
    rows = connection.execute(
        "SELECT recorded_at, clock_timestamp() AS now FROM action_ledger.stored_events ORDER BY notification_id"
    ).fetchall()
    times = [row["recorded_at"] for row in rows]
    assert times == sorted(times)
    assert since <= times[0]
    assert times[-1] <= rows[0]["now"]


def test_undo_windows(database_url: str, connection: Connection[DictRow], shift: str) -> None:
    """Of what either asked for, in the window each may take it back, and past it neither."""
    make_places(connection, 10)
    with open_ledger(database_url) as ledger, elsewhere(database_url, shift) as there:
        began = database_time(ledger)
        here = add_one(ledger)
        short = here.undoable(days=A_SECOND).run(), ledger.execution(there("run", A_SECOND))
        long = here.undoable(days=HALF_A_DAY).run(), ledger.execution(there("run", HALF_A_DAY))
        connection.execute("SELECT pg_sleep(1)")
        for open_ in reversed(long):
            assert there("undo", open_.id) == "completed"
        for over in short:
            assert there("undo", over.id)["refused"] == "undo_expired"
            with pytest.raises(UndoExpired):
                over.undo(by="user:2").run()
        again = ledger.execution(there("run", HALF_A_DAY))
        assert again.undo(by="user:2").run().status == "completed"
        assert scores(connection) == {2: 10}
        times_are_the_databases(connection, began)
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_tokens(database_url: str, connection: Connection[DictRow], shift: str) -> None:
    """Each may confirm what the other has looked at, as long as it is not too old."""
    make_places(connection, 10)
    with open_ledger(database_url) as ledger, elsewhere(database_url, shift) as there:
        here = add_one(ledger).undoable(days=7)
        theirs = there("preview")
        lives = theirs["expires_at"] - database_time(ledger).timestamp()
        assert 0 < lives < NEAR
        old = here.preview().token
        assert there("confirm", here.preview().token, 900) == "completed"
        assert here.confirm(theirs["token"]).run().status == "completed"
        connection.execute("SELECT pg_sleep(1)")
        refused = there("confirm", old, 1)
        assert (refused["refused"], refused["reason"]) == ("confirmation_invalid", "expired")
        assert scores(connection) == {2: 10}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_schedules_that_are_made(
    database_url: str, connection: Connection[DictRow], shift: str
) -> None:
    """What is next, and what is past, is so by the database's clock."""
    make_places(connection, 10)
    with open_ledger(database_url) as ledger, elsewhere(database_url, shift) as there:
        now = database_time(ledger)
        assert 0 <= there("schedule", None) - now.timestamp() <= NEAR + 60
        soon, gone = now + timedelta(hours=1), now - timedelta(hours=1)
        assert there("schedule", soon.isoformat()) == soon.timestamp()
        assert there("schedule", gone.isoformat())["refused"] == "time_in_past"
        check_invariants(connection, ledger=ledger)


def test_a_worker_fires_and_keeps(
    database_url: str, connection: Connection[DictRow], tmp_path: Path, shift: str
) -> None:
    """It fires when it is time, nothing before; and removes what is old, nothing before."""
    make_places(connection, 10)
    ahead = shift == "+1d"
    keeps = HALF_A_DAY if ahead else A_SECOND
    with open_ledger(database_url) as ledger:
        hours_ago(ledger, 0)  # no hour is over while this goes on
        each_hour = hourly(ledger, catch_up="all")
        next_hour = each_hour.view().due_at
        export = ledger.on("places").all().export(tmp_path / "a.csv").by("user:1").run()
        due = database_time(ledger) + timedelta(seconds=4)
        once = add_one(ledger).schedule(at=due)
        with worker(database_url, shift=shift, export_retention_days=keeps):
            until(lambda: once.view().status == "ended", "the firing")
            until(lambda: scores(connection) == {1: 10}, "what was fired")
            if not ahead:
                until(lambda: export.export().status == "cleaned", "the end of the file")
            connection.execute("SELECT pg_sleep(1)")  # looks enough at what is not due
            assert [each.alive for each in read_workers(ledger.store)] == [True]
        assert (tmp_path / "a.csv").exists() == ahead
        assert (each_hour.view().fired, each_hour.view().due_at) == (0, next_hour)
        fired = connection.execute(
            "SELECT recorded_at FROM action_ledger.stored_events WHERE topic = 'schedule.fired'"
        ).fetchall()
        assert len(fired) == 1
        assert timedelta() <= fired[0]["recorded_at"] - due < timedelta(seconds=NEAR)
        assert "schedule.missed" not in topics(connection)
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_hooks_are_told_once(
    database_url: str, connection: Connection[DictRow], shift: str
) -> None:
    """Neither calls for what the other is telling."""
    make_places(connection, 10)
    begun, go_on = Event(), Event()

    def told(_: Notice) -> None:
        begun.set()
        go_on.wait(30)

    with (
        open_ledger(database_url, hooks={"told": told}) as ledger,
        elsewhere(database_url, shift) as there,
    ):
        ledger.worker().finish(add_one(ledger).notify(complete="told").submit().id)
        here = Thread(target=ledger.hooks.deliver)
        here.start()
        assert begun.wait(30)
        assert there("deliver") == 0
        go_on.set()
        here.join(30)
        assert ledger.hooks.deliveries() == []
        ledger.worker().finish(add_one(ledger).notify(complete="told").submit().id)
        calls: list[int] = []
        theirs = Thread(target=lambda: calls.append(there("deliver")))
        theirs.start()
        until(lambda: [each.attempts for each in ledger.hooks.deliveries()] == [1], "their call")
        assert ledger.hooks.deliver() == 0
        theirs.join(30)
        assert calls == [1]
        assert ledger.hooks.deliveries() == []
        check_invariants(connection, ledger=ledger, tables=["places"])
