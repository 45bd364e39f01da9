"""How long a unit may take, and how often it is tried: budgets by kind of fault, and limits that the server keeps."""

import time
from collections.abc import Callable

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.projections.store import SQL
from action_ledger.workers import loop
from tests.crash.test_connections import struck
from tests.invariants import check_invariants
from tests.services import a_ledger, serving, submit
from tests.splits import splits
from tests.worker_process import held, until


@pytest.mark.usefixtures("places")
class TestLimits:
    def test_a_batch_that_takes_too_long_is_ended_by_the_server_and_split(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        with a_ledger(database_url, batch_timeout_seconds=0.3, lease_seconds=4) as ledger:
            execution = submit(ledger, batch_size=1000)
            with (
                held(database_url, "UPDATE places SET name = 'mine' WHERE id = 50"),
                serving(ledger.service()),
            ):
                until(lambda: "timed_out" in {each[1] for each in splits(connection)}, "a split")
            ledger.worker().finish(execution.id)
            assert execution.progress().applied == 100
            check_invariants(connection, ledger=ledger, tables=["places"])

    def test_no_limit_and_a_shorter_one_of_the_servers(self, ledger: Ledger) -> None:
        for limit, default, expected in (
            (None, "0", "0"),
            (None, "7s", "7s"),
            (300, "0", "5min"),
            (300, "7s", "7s"),
            (3, "7s", "3s"),
        ):
            with ledger.store.transaction() as outer:
                outer.connection.execute(f"SET LOCAL statement_timeout = '{default}'".encode())
                outer.cursor.execute(SQL["pin"], values(limit))
                row = outer.cursor.execute("SHOW statement_timeout").fetchone()
                assert row == {"statement_timeout": expected}

    def test_a_services_sessions_are_watched_by_the_server(self, database_url: str) -> None:
        with a_ledger(database_url) as ledger, ledger.service()._directs[0].connection() as own:
            for name, value in (
                ("client_connection_check_interval", "5s"),
                ("idle_in_transaction_session_timeout", "5s"),
            ):
                assert own.execute(f"SHOW {name}".encode()).fetchone() == {name: value}
            own.close()

    def test_waits_for_others_leave_the_tries_for_faults_of_its_own(
        self, database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Twelve waits and nine lost connections are borne; the tenth fault of its own is not."""
        monkeypatch.setattr(loop, "FIRST_DELAY", 0.0001)
        monkeypatch.setattr(loop, "LONGEST_DELAY", 0.001)
        faults: list[Callable[[], Exception]] = [
            *[lambda: psycopg.errors.LockNotAvailable("somebody is in the way")] * 12,
            *[lambda: psycopg.OperationalError("the connection was lost")] * 9,
        ]
        with a_ledger(database_url) as ledger:
            for extra, ended in ((0, "completed"), (1, "failed")):
                execution = submit(ledger, batch_size=1000)
                worker = ledger.worker()
                assert worker.step(execution.id)
                for fault in faults + faults[-1:] * extra:
                    with struck("batch.applied", 1, raising(fault)):
                        assert until_step(worker, execution)
                worker.finish(execution.id)
                assert execution.status == ended
            check_invariants(connection, ledger=ledger, tables=["places"])


def raising(fault: Callable[[], Exception]) -> Callable[[], None]:
    def act() -> None:
        raise fault()

    return act


def until_step(worker: loop.Worker, execution: ExecutionHandle) -> bool:
    """Take a step as soon as there is one to take."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if worker.step(execution.id):
            return True
    return False


def attempts(connection: Connection[DictRow]) -> list[tuple[str, int, int]]:
    rows = connection.execute(
        "SELECT last_error, least(attempts, 2) AS attempts, least(faults, 2) AS faults"
        " FROM action_ledger.work_queue"
    ).fetchall()
    return [(row["last_error"], row["attempts"], row["faults"]) for row in rows]


def values(limit: int | None) -> dict[str, str | None]:
    milliseconds = None if limit is None else str(limit * 1000)
    return {"search_path": "public", "silence": None, "limit": milliseconds}
