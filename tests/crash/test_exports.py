"""Workers that write a file die at every step: there is the whole file in the end, once, and never a half one."""

import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import ExecutionHandle, Ledger, open_ledger
from action_ledger.workers.sweep import sweep
from tests.crash.harness import children, finished, killed, make_places, topics, until
from tests.crash.test_frozen import stopped
from tests.faults import injected
from tests.invariants import check_invariants

RECORDS = 60
WHOLE = '"id","name"\n' + "".join(f'{n},"place {n}"\n' for n in range(1, RECORDS + 1))
STEPS = (
    *("export.part_written", "export.claimed", "export.assembled", "export.before_publish"),
    *("export.published", "export.appended", "export.before_commit"),
)
FAILING_STEPS = ("export.failed",)
CLEARING_STEPS = ("export.cleared",)
CLEANING_STEPS = ("export.removed", "export.cleaned")


def submit(ledger: Ledger, path: Path, *, overwrite: bool = False) -> ExecutionHandle:
    chosen = ledger.on("places").all()
    request = chosen.export(path, columns=["id", "name"], overwrite=overwrite)
    return request.by("user:1").batch_size(20).submit()


@contextmanager
def watched(path: Path, before: str | None) -> Generator[None]:
    """Look at the file all the time: it is not there, or as it was, or whole."""
    stop, wrong = threading.Event(), list[str]()

    def look() -> None:
        while not stop.is_set():
            try:
                found: str | None = path.read_text()
            except FileNotFoundError:
                found = None
            if found not in {before, WHOLE}:
                wrong.append(str(found)[:100])
            time.sleep(0.001)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not wrong


@pytest.mark.crash
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwritten"])
def test_killed_once_and_twice(
    database_url: str,
    connection: Connection[DictRow],
    tmp_path: Path,
    step: str,
    overwrite: bool,  # noqa: FBT001
) -> None:
    make_places(connection, RECORDS)
    path = tmp_path / "places.csv"
    if overwrite:
        path.write_text("before")
    with open_ledger(database_url) as ledger:
        execution = submit(ledger, path, overwrite=overwrite)
        order = {"url": database_url, "job": execution.id}
        with watched(path, "before" if overwrite else None):
            for _ in range(2):
                killed({**order, "step": step})
                check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)
            finished(order)
        assert execution.status == "completed"
        assert execution.export().verify() == "equal"
        assert path.read_text() == WHOLE
        assert list(tmp_path.iterdir()) == [path], "nothing else is left"
        assert topics(connection)["export.written"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
@pytest.mark.parametrize("step", STEPS)
def test_killed_and_then_cancelled(
    database_url: str, connection: Connection[DictRow], tmp_path: Path, step: str
) -> None:
    """The file may have been at its place already, which the ledger never came to record."""
    make_places(connection, RECORDS)
    path = tmp_path / "places.csv"
    with open_ledger(database_url) as ledger:
        execution = submit(ledger, path)
        killed({"url": database_url, "job": execution.id, "step": step})
        until(lambda: not _locked(connection), "the release of the row")
        execution.cancel(by="user:2")
        sweep(ledger.store)
        assert execution.export().status == "cancelled"
        assert not list(tmp_path.iterdir())
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.crash
def test_what_is_at_its_place_is_what_is_recorded(
    database_url: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    """A workbook holds the time at which it was made, so another made of the same parts has another digest."""
    make_places(connection, RECORDS)
    path = tmp_path / "places.xlsx"
    with open_ledger(database_url) as ledger:
        execution = submit(ledger, path)
        killed({"url": database_url, "job": execution.id, "step": "export.published"})
        before = path.read_bytes()
        time.sleep(1.1)
        execution.finish()
        assert path.read_bytes() == before
        assert execution.export().verify() == "equal"


@pytest.mark.crash
@pytest.mark.parametrize("step", FAILING_STEPS)
def test_killed_while_it_says_that_it_failed(
    database_url: str, connection: Connection[DictRow], tmp_path: Path, step: str
) -> None:
    make_places(connection, RECORDS)
    directory = tmp_path / "gone"
    directory.mkdir()
    with open_ledger(database_url) as ledger:
        execution = submit(ledger, directory / "places.csv")
        ledger.worker().step(execution.id)
        directory.rmdir()
        order = {"url": database_url, "job": execution.id}
        for _ in range(2):
            killed({**order, "step": step})
            check_invariants(connection, ledger=ledger, open_jobs=True)
        finished(order)
        assert (execution.status, execution.error) == ("failed", "export_failed")
        directory.mkdir()
        sweep(ledger.store)
        assert not list(directory.iterdir())
        check_invariants(connection, ledger=ledger)


@pytest.mark.crash
@pytest.mark.parametrize("step", CLEARING_STEPS)
def test_killed_while_parts_are_cleared_away(
    database_url: str, connection: Connection[DictRow], tmp_path: Path, step: str
) -> None:
    make_places(connection, RECORDS)
    path = tmp_path / "places.csv"
    with open_ledger(database_url) as ledger:
        execution = submit(ledger, path)
        killed({"url": database_url, "job": execution.id, "step": step})
        order = {"url": database_url, "task": "sweep"}
        killed({**order, "step": step})
        finished(order)
        assert list(tmp_path.iterdir()) == [path]
        assert execution.export().verify() == "equal"
        check_invariants(connection, ledger=ledger)


@pytest.mark.crash
@pytest.mark.parametrize("step", CLEANING_STEPS)
def test_killed_while_a_file_is_cleaned(
    database_url: str, connection: Connection[DictRow], tmp_path: Path, step: str
) -> None:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger:
        execution = submit(ledger, tmp_path / "places.csv")
        execution.finish()
        order = {"url": database_url, "task": "clean"}
        for _ in range(2):
            killed({**order, "step": step})
            check_invariants(connection, ledger=ledger)
        finished(order)
        assert not list(tmp_path.iterdir())
        assert execution.export().status == "cleaned"
        assert topics(connection)["export.cleaned"] == 1
        check_invariants(connection, ledger=ledger)


@pytest.mark.crash
@pytest.mark.parametrize("step", ["export.assembled", "export.before_publish", "export.published"])
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwritten"])
def test_frozen_and_thawed(
    database_url: str,
    connection: Connection[DictRow],
    tmp_path: Path,
    step: str,
    overwrite: bool,  # noqa: FBT001
) -> None:
    """The server lets its unit go; another writes the file; what comes to life again changes nothing."""
    make_places(connection, RECORDS)
    path = tmp_path / "places.csv"
    with open_ledger(database_url) as ledger:
        execution = submit(ledger, path, overwrite=overwrite)
        order = {"url": database_url, "job": execution.id, "lease_seconds": 2}
        with (
            watched(path, None),
            children({**order, "step": step, "signal": "SIGSTOP"}) as (worker,),
        ):
            until(lambda: stopped(worker.pid or 0), "the worker's stop")
            injected(2)
            finished(order)
            assert execution.status == "completed"
            view = execution.export()
            os.kill(worker.pid or 0, 18)
            worker.join(30)
            assert worker.exitcode == 0
        assert execution.export() == view
        assert view.verify() == "equal"
        assert list(tmp_path.iterdir()) == [path]
        assert topics(connection)["export.written"] == 1
        check_invariants(connection, ledger=ledger)


def _locked(connection: Connection[DictRow]) -> bool:
    """Say whether the session of one who was killed is still there: it holds the row."""
    rows = connection.execute(
        "SELECT FROM action_ledger.work_queue FOR UPDATE SKIP LOCKED"
    ).fetchall()
    total = connection.execute("SELECT count(*) AS n FROM action_ledger.work_queue").fetchone()
    return total is not None and len(rows) < total["n"]
