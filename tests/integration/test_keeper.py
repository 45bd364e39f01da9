"""The keeper of a worker goes on: what can be neither taken in, mended nor removed holds up nothing else."""

import errno
import json
import logging
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import StoreUnavailable
from action_ledger.ops import Ledger, Plan
from action_ledger.workers import sweep as sweeping
from action_ledger.workers.export_place import digest_of_file
from action_ledger.workers.sweep import sweep
from tests.invariants import check_invariants
from tests.services import a_ledger, serving, submit
from tests.worker_process import until

OFTEN = {"poll_seconds": 0.2, "lease_seconds": 0.4}
DAY = 86_400
SOON = {**OFTEN, "export_retention_days": 0.5 / DAY}
"""The file of an export stays half a second."""


@contextmanager
def kept(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> Generator[None]:
    """Serve through more faults than a thread survives, and then do some work."""
    with caplog.at_level(logging.WARNING), serving(ledger.service()) as thread:
        yield
        time.sleep(2)
        assert thread.is_alive()
        execution = submit(ledger, on_locked="skip")
        until(lambda: execution.status == "completed")
    assert "The thread keeper" not in caplog.text


@pytest.mark.usefixtures("places")
class TestHeldUpByNothing:
    def test_a_command_that_can_be_neither_taken_in_nor_rejected(
        self, database_url: str, connection: Connection[DictRow], caplog: pytest.LogCaptureFixture
    ) -> None:
        connection.execute(
            "INSERT INTO action_ledger.command_inbox (command_id, subject, command, fingerprint)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), %s, '')",
            [json.dumps({"of": "somebody else"})],
        )
        with a_ledger(database_url, **OFTEN) as ledger, kept(ledger, caplog):
            pass
        assert "can be neither taken in nor rejected" in caplog.text
        (row,) = connection.execute(
            "SELECT error, available_at > clock_timestamp() + interval '30 s' AS aside"
            " FROM action_ledger.command_inbox"
        ).fetchall()
        assert row == {"error": "unexpected_error", "aside": True}

    def test_a_file_that_cannot_be_removed(
        self,
        database_url: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with a_ledger(database_url, **SOON) as ledger:
            exports = [
                ledger.on("places").all().export(tmp_path / name).by("user:1").run()
                for name in ("a.csv", "b.csv")
            ]
            forbid_removal(monkeypatch, tmp_path / "a.csv")
            with kept(ledger, caplog):
                until(lambda: exports[1].export().status == "cleaned")
            assert exports[0].export().status == "written"
            assert f"{tmp_path / 'a.csv'} cannot be removed: Permission denied" in caplog.text
            assert caplog.text.count("cannot be removed") == 1, "not at each look"

    def test_a_file_in_a_directory_that_answers_with_a_fault(
        self,
        database_url: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        away = tmp_path / "away"
        away.mkdir()
        with a_ledger(database_url, **SOON) as ledger:
            places = ledger.on("places").all()
            lost = places.export(away / "a.csv").by("user:1").run()
            near = places.export(tmp_path / "b.csv").by("user:1").run()
            lose_handle(monkeypatch, away)
            with kept(ledger, caplog):
                until(lambda: near.export().status == "cleaned")
            assert lost.export().status == "written"
        assert "a.csv cannot be removed: Stale file handle" in caplog.text

    def test_it_is_tried_again_after_twice_as_long(
        self,
        database_url: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr("action_ledger.workers.keeper.FIRST_PAUSE", 0.5)
        with a_ledger(database_url, **SOON) as ledger:
            export = ledger.on("places").all().export(tmp_path / "a.csv").by("user:1").run()
            with monkeypatch.context() as patched, kept(ledger, caplog):
                forbid_removal(patched, tmp_path / "a.csv")
                until(lambda: caplog.text.count("cannot be removed") == 2)
                patched.undo()
                until(lambda: export.export().status == "cleaned")
            assert "tried again in 0.5 s" in caplog.text
            assert "tried again in 1.0 s" in caplog.text
            assert caplog.text.count("cannot be removed") == 2

    def test_an_execution_that_cannot_be_swept_up(
        self,
        database_url: str,
        connection: Connection[DictRow],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        mend = sweeping._mend
        with a_ledger(database_url, **OFTEN) as ledger:
            bad, good = (rolling_back(ledger, connection, last) for last in (50, 100))

            def refuse(store: Any, **finding: Any) -> int:
                if finding["execution_id"] == bad:
                    raise KeyError("a fault of the program")
                return mend(store, **finding)

            monkeypatch.setattr(sweeping, "_mend", refuse)
            with pytest.raises(KeyError):
                sweep(ledger.store, bad)
            with kept(ledger, caplog):
                until(lambda: ledger.execution(good).status == "rolled_back")
            assert f"execution {bad} cannot be swept up (roll_back)" in caplog.text
            monkeypatch.undo()
            ledger.execution(bad).finish()
            check_invariants(connection, ledger=ledger, tables=["places"])

    def test_files_that_take_long_to_look_through(
        self, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each is read before it is removed: a command waits for one of them, not for all."""
        read = digest_of_file

        def slowly(path: Path) -> str:
            time.sleep(1)
            return read(path)

        settings = {**OFTEN, "export_retention_days": 0.1 / DAY}
        with a_ledger(database_url, **settings) as ledger, psycopg.connect(database_url) as host:
            places = ledger.on("places").all()
            exports = [
                places.export(tmp_path / f"{name}.csv").by("user:1").run() for name in range(6)
            ]
            monkeypatch.setattr("action_ledger.workers.export_sweep.digest_of_file", slowly)
            time.sleep(0.5)  # the time of all of them is over
            with serving(ledger.service()):
                until(lambda: any(one.export().status == "cleaned" for one in exports))
                command = ledger.within(host).on("places").keys([1]).update(note="x").by("user:1")
                execution = command.submit()
                host.commit()
                until(lambda: execution.status == "completed")
                assert sum(one.export().status == "written" for one in exports) >= 2
                until(lambda: all(one.export().status == "cleaned" for one in exports))

    def test_parts_of_an_export_that_cannot_be_removed(
        self,
        database_url: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The cancel and the file stand; the parts are tried again, less and less often."""
        with a_ledger(database_url, **OFTEN) as ledger:
            export = ledger.on("places").all().export(tmp_path / "a.csv").by("user:1")
            cancelled = export.batch_size(10).submit()
            for _ in range(2):
                ledger.worker().step(cancelled.id)
            with monkeypatch.context() as patched:
                patched.setattr("shutil.rmtree", refuse_removal)
                cancelled.cancel(by="user:1")
                assert cancelled.status == "cancelled"
                assert export.run().status == "completed"
                caplog.clear()
                with kept(ledger, caplog):
                    time.sleep(2)
                said = (
                    f"execution {cancelled.id} cannot be swept up (clear_parts): Permission denied"
                )
                assert 2 <= caplog.text.count(said) <= 4, "not at each look"
            staged = list(tmp_path.glob(".action-ledger-*"))
            assert len(staged) == 2
            sweep(ledger.store)
            assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]

    def test_a_command_on_a_table_that_somebody_alters(
        self, database_url: str, connection: Connection[DictRow], caplog: pytest.LogCaptureFixture
    ) -> None:
        connection.execute("CREATE TABLE altered (id bigint PRIMARY KEY, note text)")
        with (
            a_ledger(database_url, **OFTEN) as ledger,
            psycopg.connect(database_url) as host,
            psycopg.connect(database_url) as alters,
        ):
            alters.execute("LOCK TABLE altered IN ACCESS EXCLUSIVE MODE")
            for table in ("altered", "places"):
                ledger.within(host).on(table).all().update(note="y").by("user:1").submit()
            host.commit()
            with kept(ledger, caplog):
                until(lambda: [one.status for one in ledger.executions()] == ["completed"])
                alters.rollback()
                until(lambda: len(ledger.executions(status="completed")) >= 2)
            check_invariants(connection, ledger=ledger, tables=["places"])

    def test_a_chain_that_has_waited_for_hours(
        self, database_url: str, connection: Connection[DictRow], caplog: pytest.LogCaptureFixture
    ) -> None:
        settings = {**OFTEN, "max_concurrent_executions": 1}
        with a_ledger(database_url, **settings) as ledger:
            theirs = ledger.on("places").all().update(note="y").by("user:2").submit()
            theirs.pause(by="user:2")
            change = ledger.on("places").all().update(score=0)
            chain = change.then(ledger.on("places").all().update(score=1)).by("user:2").submit()
            connection.execute("UPDATE action_ledger.chain_queue SET attempts = 1100")
            with kept(ledger, caplog):
                pass
            theirs.cancel(by="user:2")
            connection.execute("UPDATE action_ledger.chain_queue SET available_at = '-infinity'")
            ledger.service(Plan(name="last", until_idle=True)).run()
            assert chain.status == "completed"
            check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_rollback_that_cannot_be_asked_for_while_the_store_is_away(
    database_url: str, connection: Connection[DictRow], places: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert places
    with a_ledger(database_url) as ledger:
        bad = rolling_back(ledger, connection, 50)
        lend, lent = ledger.store.transaction, []

        @contextmanager
        def away_once(**options: Any) -> Generator[Any]:
            lent.append(options)
            if len(lent) == 3:  # to look, to read the execution, to ask for its undo
                raise StoreUnavailable(reason="the database system is starting up")
            with lend(**options) as transaction:
                yield transaction

        monkeypatch.setattr(ledger.store, "transaction", away_once)
        with pytest.raises(StoreUnavailable):
            sweep(ledger.store, bad)
        monkeypatch.undo()
        assert ledger.execution(bad).status == "rolling_back"
        ledger.execution(bad).finish()
        assert ledger.execution(bad).status == "rolled_back"
        check_invariants(connection, ledger=ledger, tables=["places"])


def forbid_removal(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    unlink = Path.unlink

    def refuse(self: Path, **how: Any) -> None:
        if self == path:
            raise PermissionError(13, "Permission denied")
        unlink(self, **how)

    monkeypatch.setattr(Path, "unlink", refuse)


def refuse_removal(_: Path) -> None:
    raise PermissionError(13, "Permission denied")


def lose_handle(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Let the system answer for a directory as for one of a file server that has started anew."""
    stat = Path.stat

    def refuse(self: Path, **how: Any) -> Any:
        if self.is_relative_to(directory):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(self))
        return stat(self, **how)

    monkeypatch.setattr(Path, "stat", refuse)


def rolling_back(ledger: Ledger, connection: Connection[DictRow], last: int) -> UUID:
    """Let an execution of fifty records come to its rollback, which nobody has asked for yet; give its id."""
    connection.execute(
        f"ALTER TABLE places ADD CONSTRAINT forbidden CHECK (score <> {last + 1000})"
    )
    chosen = ledger.on("places").where((col("id") > last - 50) & (col("id") <= last))
    request = chosen.update(score=col("score") + 1000).by("user:1")
    execution = request.batch_size(10).on_failure("rollback").submit()
    worker = ledger.worker()
    while execution.status != "rolling_back":
        assert worker.step(execution.id)
    connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
    return execution.id
