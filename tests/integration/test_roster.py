"""The roster of workers: who is there, what each has in hand, and that it is kept while work goes on."""

import time

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger, Plan
from tests.command_line import CommandLine
from tests.services import a_ledger, idle, serving, submit
from tests.worker_process import held, roster, until, waiting


@pytest.mark.usefixtures("places")
class TestRoster:
    def test_it_lists_who_is_there_and_what_they_do(
        self, ledger: Ledger, database_url: str, connection: Connection[DictRow]
    ) -> None:
        execution = submit(ledger, batch_size=1000)
        plan = Plan(name="one", queues=("default", "nightly"), concurrency=2)
        with serving(ledger.service(plan)):
            with held(database_url, "UPDATE places SET name = 'mine' WHERE id = 50"):
                until(lambda: waiting(connection))
                until(lambda: [u.kind for v in ledger.workers() for u in v.units] == ["batch"])
                (view,) = ledger.workers()
                (unit,) = view.units
                assert (view.name, view.state, view.alive) == ("one", "working", True)
                assert (view.queues, view.concurrency) == (("default", "nightly"), 2)
                assert (unit.execution_id, unit.number, unit.undo_id) == (execution.id, 1, None)
                assert view.started_at <= unit.since <= view.heartbeat_at
            until(lambda: execution.status == "completed")
            until(lambda: [(v.state, v.units_done) for v in ledger.workers()] == [("idle", 2)])
        assert ledger.workers() == []

    def test_a_row_that_is_gone_is_made_again(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        with (
            a_ledger(database_url, lease_seconds=0.5) as ledger,
            serving(ledger.service()),
        ):
            until(lambda: idle(connection))
            (before,) = roster(connection)
            connection.execute("DELETE FROM action_ledger.workers")
            until(lambda: idle(connection))
            (after,) = roster(connection)
            assert after["worker_id"] == before["worker_id"]
            assert abs((after["started_at"] - before["started_at"]).total_seconds()) < 0.5

    def test_the_heartbeat_goes_on_while_a_batch_is_long(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        with a_ledger(database_url, lease_seconds=2) as ledger:
            execution = submit(ledger, batch_size=1000)
            with serving(ledger.service()):
                with held(database_url, "UPDATE places SET score = 0 WHERE id = 50"):
                    until(lambda: waiting(connection))
                    for _ in range(5):
                        time.sleep(1)
                        assert [view.alive for view in ledger.workers()] == [True]
                until(lambda: execution.status == "completed")

    def test_the_command_line_shows_it(
        self, ledger: Ledger, database_url: str, connection: Connection[DictRow]
    ) -> None:
        cli = CommandLine(database_url)
        assert "No worker is there" in cli("workers").out
        execution = submit(ledger, batch_size=1000)
        with serving(ledger.service(Plan(name="one"))):
            with held(database_url, "UPDATE places SET name = 'mine' WHERE id = 50"):
                until(lambda: waiting(connection))
                until(lambda: [u.kind for v in ledger.workers() for u in v.units] == ["batch"])
                (view,) = cli("workers", "--json").json
                assert (view["name"], view["state"], view["queues"]) == ("one", "working", None)
                assert view["units"][0]["execution_id"] == str(execution.id)
                shown = cli("workers").out
                assert f"{view['host']}, {view['pid']}" in shown, "a lost one is to be found"
                assert view["version"] in shown
                narrow = cli("workers", COLUMNS="80", FORCE_COLOR="1", TTY_COMPATIBLE="1").out
                assert f"in hand: batch 1 of …{str(execution.id)[-8:]}" in narrow
                assert "working" in shown
                assert f"batch 1 of …{str(execution.id)[-8:]}" in shown
            until(lambda: execution.status == "completed")
        connection.execute(
            "INSERT INTO action_ledger.workers SELECT gen_random_uuid(), 'gone', 'h', 1, 'v', NULL, 1,"
            " 'working', 10, 0, '[]', now() - interval '1 h', now() - interval '21 s'"
        )
        assert [view["state"] for view in cli("workers", "--json").json] == ["lost"]
