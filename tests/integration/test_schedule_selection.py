"""Which records a schedule runs on: chosen at each run, or frozen when it was created; and its reads."""

from datetime import timedelta
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import (
    InvalidValue,
    SelectionTwice,
)
from action_ledger.domain.rule import Cron
from action_ledger.ops import Ledger
from action_ledger.ops.rules import schedule_command
from tests.invariants import check_invariants
from tests.schedules import (
    add_one,
    database_time,
    fire,
    hourly,
    hours_ago,
    overdue,
    score,
    work,
    written,
)


@pytest.mark.usefixtures("places")
class TestSelection:
    def test_evaluated_at_each_run(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        chosen = ledger.on("places").where(col("country") == "FR").update(note="x").by("user:1")
        schedule = chosen.schedule(cron="0 * * * *", timezone="UTC")
        assert schedule.view().records is None
        connection.execute("UPDATE places SET country = 'FR' WHERE id = 1")
        assert fire(ledger, schedule).progress().total == 51

    def test_frozen_keeps_the_records_of_that_moment(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        """Which are considered is fixed; that each still matches is checked as ever, unless told otherwise."""
        for frozen, applied in ((False, 49), (True, 50)):
            connection.execute("UPDATE places SET country = 'DE' WHERE id = 1")
            connection.execute("UPDATE places SET country = 'FR' WHERE id = 2")
            chosen = ledger.on("places").where(col("country") == "FR").update(note="x").by("user:1")
            chosen = chosen.batch_size(20)
            schedule = (chosen.frozen() if frozen else chosen).schedule(
                cron="0 * * * *", timezone="UTC", selection="frozen"
            )
            assert schedule.view().records == 50
            connection.execute("UPDATE places SET country = 'FR' WHERE id = 1")
            connection.execute("UPDATE places SET country = 'DE' WHERE id = 2")
            progress = fire(ledger, schedule).progress()
            assert (progress.total, progress.batches) == (50, 3)
            assert (progress.applied, progress.skipped) == (applied, 50 - applied)
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_frozen_again_and_again(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        schedule = (
            add_one(ledger)
            .batch_size(30)
            .on_locked("wait")
            .schedule(cron="0 * * * *", timezone="UTC", selection="frozen", catch_up="all")
        )
        connection.execute(
            "INSERT INTO places (id, name, country, score) VALUES (500, 'n', 'FR', 500)"
        )
        overdue(ledger, schedule.id, hours_ago(ledger, 2))
        work(ledger)
        assert schedule.view().fired == 3
        assert (score(connection), score(connection, 100), score(connection, 500)) == (3, 3, 0)
        check_invariants(connection, ledger=ledger, tables=["places"])

    @pytest.mark.parametrize("streamed", [False, True])
    def test_keys_are_always_frozen(
        self, ledger: Ledger, connection: Connection[DictRow], *, streamed: bool
    ) -> None:
        keys: Any = iter([1, 2, 3, 7_654_321]) if streamed else [1, 2, 3, 7_654_321]
        chosen = ledger.on("places").keys(keys).update(score=col("score") + 1).by("user:1")
        schedule = chosen.schedule(cron="0 * * * *", timezone="UTC", catch_up="all")
        overdue(ledger, schedule.id, hours_ago(ledger, 1))
        work(ledger)
        assert [run.applied for run in schedule.runs()] == [3, 3]
        assert [run.skipped for run in schedule.runs()] == [1, 1]
        assert (score(connection, 3), score(connection, 4)) == (2, 0)
        body = connection.execute(
            "SELECT body::text AS body FROM action_ledger.request_bodies WHERE owner = %s",
            [schedule.id],
        ).fetchone()
        assert body is not None
        assert "7654321" not in body["body"]

    def test_no_keys_are_no_records(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        chosen = ledger.on("places").keys([]).update(score=col("score") + 1).by("user:1")
        schedule = chosen.schedule(cron="0 * * * *", timezone="UTC")
        assert schedule.view().records == 0
        execution = fire(ledger, schedule)
        assert (execution.status, execution.progress().total) == ("completed", 0)
        assert score(connection) == 0

    def test_keys_beside_a_condition(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        before = written(connection)
        command = schedule_command(
            add_one(ledger).command(),
            Cron(cron="0 * * * *", timezone="UTC"),
            catch_up="last",
            keep="evaluated",
        )
        with pytest.raises(SelectionTwice):
            ledger.handle(command, keys=[1])
        assert written(connection) == before


@pytest.mark.usefixtures("places")
class TestReads:
    def test_upcoming_across_schedules_by_the_clocks_of_each(self, ledger: Ledger) -> None:
        now = database_time(ledger)
        hourly = add_one(ledger).schedule(cron="0 * * * *", timezone="Asia/Kathmandu")
        once = add_one(ledger).schedule(at=now + timedelta(hours=2), timezone="America/New_York")
        add_one(ledger).schedule(cron="0 * * * *", timezone="UTC").pause(by="u")
        found = ledger.upcoming(6)
        assert [one.at for one in found] == sorted(one.at for one in found)
        assert len(found) == 6
        assert {one.schedule_id for one in found} == {hourly.id, once.id}
        for one in found:
            assert one.local == one.at
            if one.schedule_id == hourly.id:
                assert (one.local.minute, one.at.minute) == (0, 15)
            else:
                assert one.local.utcoffset() in {timedelta(hours=-5), timedelta(hours=-4)}
        assert [one.at for one in hourly.upcoming(2)] == [
            one.at for one in found if one.schedule_id == hourly.id
        ][:2]
        assert ledger.upcoming(0) == []

    def test_what_is_overdue_comes_first_and_once(self, ledger: Ledger) -> None:
        schedule = hourly(ledger)
        overdue(ledger, schedule.id, hours_ago(ledger, 3))
        first, second, *_ = schedule.upcoming(3)
        assert first.at == hours_ago(ledger, 3)
        assert second.at > database_time(ledger)

    def test_the_list(self, ledger: Ledger) -> None:
        one, other = hourly(ledger), hourly(ledger)
        one.cancel(by="u")
        assert [view.id for view in ledger.schedules()] == [other.id, one.id]
        assert [view.id for view in ledger.schedules(status="cancelled")] == [one.id]
        assert [view.id for view in ledger.schedules(limit=1)] == [other.id]
        for bad in ({"status": "gone"}, {"limit": -1}):
            with pytest.raises(InvalidValue):
                ledger.schedules(**bad)
        with pytest.raises(InvalidValue):
            ledger.upcoming(-1)
