"""Somebody has left a transaction open: nothing waits for it, or who waits says for whom."""

import re
import time
from datetime import timedelta

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
from tests.command_line import CommandLine
from tests.crash.harness import make_places, scores, topics
from tests.crash.test_contention import add_one
from tests.invariants import check_invariants
from tests.schedules import database_time
from tests.worker_process import held, until, worker

pytestmark = pytest.mark.fault(13)


def test_nothing_waits_for_one_that_holds_nothing_of_the_table(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """It has a number of its own, and older ones than all that comes; it has written to a table of its own."""
    make_places(connection, 1_000)
    connection.execute("CREATE TABLE its_own (id int)")
    with (
        psycopg.connect(database_url, application_name="outsider") as forgotten,
        open_ledger(database_url) as ledger,
    ):
        forgotten.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        forgotten.execute("INSERT INTO its_own VALUES (1)")
        forgotten.execute("CREATE TABLE another (id int)")
        forgotten.execute("SELECT count(*) FROM places")
        started = time.monotonic()
        execution = add_one(ledger, 100).submit()
        execution.finish()
        undo = execution.undo(by="user:2").run()
        due = add_one(ledger, 100).schedule(at=database_time(ledger) + timedelta(seconds=1))
        with worker(database_url):
            until(lambda: due.view().status == "ended", "the firing")
            until(lambda: scores(connection) == {1: 1_000}, "what was fired")
        ledger.catch_up()
        for name in ("progress", "audit", "work_queue"):
            ledger.projections.rebuild([name])
        assert time.monotonic() - started < 30
        assert (execution.status, undo.status) == ("completed", "completed")
        assert topics(connection)["execution.completed"] == 2
        assert {each.lag for each in ledger.projections.status()} == {0}
        assert scores(connection) == {1: 1_000}
        check_invariants(connection, ledger=ledger, tables=["places"])
        forgotten.rollback()


@pytest.mark.crash
def test_one_that_holds_rows_is_named(database_url: str, connection: Connection[DictRow]) -> None:
    """To whoever looks, and once in the log of the worker that waits; the rest of the work goes on meanwhile."""
    make_places(connection, 400)
    make_places(connection, 100, table="others")
    cli = CommandLine(database_url)
    statement = "UPDATE places SET name = 'mine' WHERE id = 50"
    with open_ledger(database_url) as ledger:
        with held(f"{database_url}&application_name=psql", statement) as outsider:
            pid = outsider.info.backend_pid
            stuck = add_one(ledger, 100).submit()
            with worker(database_url, "--concurrency", "2", lease_seconds=2) as process:
                until(lambda: f"held by pid {pid}" in process.log, "the warning")
                free = add_one(ledger, 100, "others").submit()
                until(lambda: free.status == "completed", "the work that has nothing to do with it")
                assert stuck.progress().applied == 300
                (told,) = cli("show", stuck.id, "--json").json["blocked_by"]
                assert (told["pid"], told["state"]) == (pid, "idle in transaction")
                assert (told["lock"], told["application"]) == ("row", "psql")
                assert told["seconds"] > 5
                time.sleep(5)  # looks enough for it to be said again
                outsider.rollback()
                until(lambda: stuck.status == "completed", "the end")
                said = [line for line in process.log.splitlines() if str(pid) in line]
        (line,) = said
        assert re.search(
            rf"execution {stuck.id} waits for a row lock held by pid {pid} \(application 'psql',"
            r" user '\w+', idle in transaction for \d+ s\)",
            line,
        )
        assert scores(connection) == {1: 400}
        check_invariants(connection, ledger=ledger, tables=["places", "others"])
