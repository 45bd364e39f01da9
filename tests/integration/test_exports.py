"""An export is an execution like any other: planned, in batches, with progress; and it leaves one whole file, or none."""

import errno
import os
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import (
    ExportExists,
    ExportTooLarge,
    ExtraMissing,
    InvalidParameters,
    NotReversible,
    UnknownColumn,
)
from action_ledger.ops import ExecutionHandle, Ledger, Settings, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.workers import export_formats, export_place, steps
from action_ledger.workers.previewed import Note
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants


def export(ledger: Ledger, places: str, path: Path, **options: Any) -> Request:
    chosen = ledger.on(places).where(col("score") <= PLACES)
    return chosen.export(path, **options).by("user:1", reason="T-1").batch_size(10)


def topics(ledger: Ledger, execution: ExecutionHandle) -> list[str]:
    return [entry.topic for entry in ledger.audit(execution_id=execution.id)]


def until_step(step: str, do: Any) -> None:
    """Do something when this thread's work has first come to a step."""
    done: list[str] = []

    def strike(reached: str) -> None:
        if reached == step and not done:
            done.append(reached)
            do()

    steps.strike.set(strike)


@pytest.fixture(autouse=True)
def _no_strike() -> Any:
    token = steps.strike.set(None)
    yield
    steps.strike.reset(token)


def test_its_way_and_its_manifest(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    path = tmp_path / "places.csv"
    execution = export(ledger, places, path, columns=["name", "id"]).run()
    progress = execution.progress()
    assert (progress.total, progress.applied, progress.batches) == (PLACES, PLACES, 10)
    assert topics(ledger, execution) == [
        *("execution.requested", "export.requested"),
        *["batch.planned"] * 10,
        "execution.planned",
        *["batch.completed"] * 10,
        *("export.written", "execution.completed"),
    ]
    (written,) = [
        entry
        for entry in ledger.audit(execution_id=execution.id)
        if entry.topic == "export.written"
    ]
    view = execution.export()
    assert written.actor == view.actor == "user:1"
    assert written.details["file_digest"] == view.sha256 == export_place.digest_of_file(path)
    assert written.details["bytes"] == view.bytes == path.stat().st_size
    assert written.details["columns"] == ["name", "id"]
    assert view.records == PLACES
    assert view.read_from is not None
    assert view.read_to is not None
    assert view.requested_at < view.read_from < view.read_to
    assert view.path == str(path)
    (requested, *_) = execution.events()
    assert requested.event.model_dump()["body_digest"] == view.body_digest
    assert str(tmp_path) not in written.model_dump_json(), "a path stands in no event"
    assert [path] == list(tmp_path.iterdir()), "nothing lies beside it"
    assert ledger.exports.newest()[0] == view
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_preview_writes_nothing(ledger: Ledger, places: str, tmp_path: Path) -> None:
    preview = export(ledger, places, tmp_path / "a.csv").preview()
    assert (preview.count, preview.tried, preview.exact) == (100, 0, False)
    assert preview.notes == (Note.EFFECT,)
    assert list(tmp_path.iterdir()) == []
    execution = export(ledger, places, tmp_path / "a.csv").confirm(preview.token).run()
    assert execution.export().records == 100


def test_workers_in_parallel_keep_the_order_of_keys(
    ledger: Ledger, places: str, tmp_path: Path
) -> None:
    path = tmp_path / "places.csv"
    export(ledger, places, path, columns=["id"]).batch_size(7).run(workers=4)
    assert path.read_text().split() == ['"id"', *map(str, range(1, PLACES + 1))]


def test_a_queued_export_is_written_by_a_worker(
    ledger: Ledger, places: str, tmp_path: Path
) -> None:
    path = tmp_path / "places.json"
    execution = export(ledger, places, path).submit()
    assert execution.export().status == "requested"
    worker = ledger.worker()
    while worker.step():
        assert path.exists() == (execution.status == "completed"), "whole, or not there"
    assert execution.status == "completed"
    assert execution.export().verify() == "equal"


def test_records_that_no_longer_match_or_are_gone(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    path = tmp_path / "places.csv"
    execution = export(ledger, places, path, columns=["id"]).submit()
    ledger.worker().step(execution.id)
    connection.execute("UPDATE places SET score = 1000 WHERE id IN (3, 42)")
    connection.execute("DELETE FROM places WHERE id IN (5, 100)")
    execution.finish()
    progress = execution.progress()
    assert (progress.applied, progress.skipped, progress.failed) == (PLACES - 4, 4, 0)
    assert {(one.key, one.reason) for one in execution.skipped()} == {
        (("3",), "no_longer_matches"),
        (("42",), "no_longer_matches"),
        (("5",), "vanished"),
        (("100",), "vanished"),
    }
    assert execution.export().records == PLACES - 4
    assert not {"3", "5", "42", "100"} & set(path.read_text().split())
    check_invariants(connection, ledger=ledger)


def test_cancelled_in_the_middle_it_leaves_nothing(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    execution = export(ledger, places, tmp_path / "places.csv").submit()
    worker = ledger.worker()
    for _ in range(4):
        worker.step(execution.id)
    assert list(tmp_path.iterdir()), "parts wait beside it"
    execution.cancel(by="user:2")
    execution.finish()
    ledger.work(stop_after(tmp_path))
    assert execution.export().status == "cancelled"
    assert "export.cancelled" in topics(ledger, execution)
    assert not list(tmp_path.iterdir())
    check_invariants(connection, ledger=ledger)


def stop_after(directory: Path) -> Any:
    """Stop a service once a directory is empty, or after a while."""
    looks = iter(range(100))
    return lambda: not list(directory.iterdir()) or next(looks, None) is None


@pytest.mark.parametrize("step", ["export.assembled", "export.before_publish", "export.published"])
def test_cancelled_while_it_is_put_together(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path, step: str
) -> None:
    execution = export(ledger, places, tmp_path / "places.csv").submit()

    def cancel() -> None:
        thread = threading.Thread(target=lambda: execution.cancel(by="user:2"))
        thread.start()
        thread.join()

    until_step(step, cancel)
    execution.finish()
    assert execution.status == "cancelled"
    assert execution.export().status == "cancelled"
    assert not list(tmp_path.iterdir())
    check_invariants(connection, ledger=ledger)


def test_paused_and_resumed(ledger: Ledger, places: str, tmp_path: Path) -> None:
    path = tmp_path / "places.ndjson"
    execution = export(ledger, places, path).submit()
    worker = ledger.worker()
    for _ in range(11):
        worker.step(execution.id)
    execution.pause(by="user:2")
    execution.finish()
    assert not path.exists(), "the file waits too"
    execution.resume(by="user:2")
    execution.finish()
    assert execution.export().verify() == "equal"


def test_a_file_that_is_there_stays(ledger: Ledger, places: str, tmp_path: Path) -> None:
    path = tmp_path / "places.csv"
    path.write_text("mine")
    with pytest.raises(ExportExists):
        export(ledger, places, path).run()
    assert ledger.executions() == [], "refused, so nothing is recorded"
    late = export(ledger, places, tmp_path / "late.csv").submit()
    until_step("export.before_publish", lambda: (tmp_path / "late.csv").write_text("mine too"))
    late.finish()
    assert (late.status, late.error) == ("failed", "export_exists")
    assert late.export().error == "export_exists"
    assert (tmp_path / "late.csv").read_text() == "mine too"
    assert export(ledger, places, path, overwrite=True).run().export().verify() == "equal"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["late.csv", "places.csv"]


def test_it_cannot_be_undone(ledger: Ledger, places: str, tmp_path: Path) -> None:
    execution = export(ledger, places, tmp_path / "places.csv").run()
    with pytest.raises(NotReversible, match="export is irreversible"):
        execution.undo(by="user:2").run()


def test_what_is_wrong_is_refused_at_once(ledger: Ledger, places: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameters, match="format"):
        export(ledger, places, tmp_path / "places.doc")
    with pytest.raises(UnknownColumn):
        export(ledger, places, tmp_path / "places.csv", columns=["nme"]).submit()
    with pytest.raises(InvalidParameters, match="columns: it is empty"):
        export(ledger, places, tmp_path / "places.csv", columns=[])
    with pytest.raises(InvalidParameters, match="rollback"):
        export(ledger, places, tmp_path / "places.csv").on_failure("rollback").run()
    done = export(ledger, places, tmp_path / "places.csv").run()
    with pytest.raises(InvalidParameters, match="ask for the whole again"):
        done.retry(by="user:1", not_processed=True).run()


def test_at_most_n_records(database_url: str, places: str, tmp_path: Path) -> None:
    settings = Settings(export_max_records=PLACES - 1)
    with open_ledger(database_url, settings=settings) as ledger:
        with pytest.raises(ExportTooLarge) as refused:
            export(ledger, places, tmp_path / "places.csv").run()
        assert refused.value.attributes["records"] == PLACES
        assert "ACTION_LEDGER_EXPORT_MAX_RECORDS" in str(refused.value)
        queued = export(ledger, places, tmp_path / "places.csv").streaming().submit()
        queued.finish()
        assert (queued.status, queued.error) == ("failed", "export_too_large")
        assert queued.export().status == "failed"
    assert not list(tmp_path.iterdir())


def test_a_format_that_holds_fewer(
    ledger: Ledger, places: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {form: each.most for form, each in export_formats.FORMATS.items() if each.most} == {
        "xlsx": 1_048_575,
        "pdf": 100_000,
    }
    small = export_formats.Format("texts", lambda _: None, most=PLACES - 1)
    monkeypatch.setitem(cast("dict[str, Any]", export_formats.FORMATS), "xlsx", small)
    with pytest.raises(ExportTooLarge, match="Choose another format"):
        export(ledger, places, tmp_path / "places.xlsx").run()


def test_a_missing_extra_is_named(
    ledger: Ledger, places: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_formats, "find_spec", lambda _: None)
    for form in ("xlsx", "pdf", "parquet"):
        with pytest.raises(ExtraMissing, match=rf"action-ledger\[{form}\]"):
            export(ledger, places, tmp_path / f"places.{form}").run()
    queued = export(ledger, places, tmp_path / "places.pdf").submit()
    queued.finish()
    assert (queued.status, queued.error) == ("failed", "extra_missing")


def test_a_full_disk_while_parts_are_written(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    execution = export(ledger, places, tmp_path / "places.csv").submit()

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    until_step("export.part_written", full)
    execution.finish()
    assert (execution.status, execution.error) == ("failed", "export_failed")
    assert execution.progress().failed == 10
    assert "No space left" in str(next(execution.failures()).message)
    assert not list(tmp_path.iterdir())
    check_invariants(connection, ledger=ledger)


def test_a_full_disk_while_it_is_put_together(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    execution = export(ledger, places, tmp_path / "places.xlsx").submit()

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    until_step("export.assembled", full)
    execution.finish()
    assert (execution.status, execution.error) == ("failed", "export_failed")
    assert not list(tmp_path.iterdir())
    check_invariants(connection, ledger=ledger)


def test_a_part_that_is_elsewhere(ledger: Ledger, places: str, tmp_path: Path) -> None:
    execution = export(ledger, places, tmp_path / "places.csv").submit()
    worker = ledger.worker()
    for _ in range(3):
        worker.step(execution.id)
    (staging,) = tmp_path.iterdir()
    next(staging.iterdir()).unlink()
    execution.finish()
    assert (execution.status, execution.error) == ("failed", "export_failed")
    assert not list(tmp_path.iterdir())


def test_a_table_that_was_altered_meanwhile(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    path = tmp_path / "places.csv"
    execution = export(ledger, places, path).submit()
    ledger.worker().step(execution.id)
    connection.execute("ALTER TABLE places ADD more text")
    ledger.worker().step(execution.id)
    connection.execute("ALTER TABLE places ALTER score TYPE numeric")
    execution.finish()
    assert (execution.status, execution.error) == ("failed", "schema_drift")
    assert not list(tmp_path.iterdir())


def test_one_that_waits_long_is_not_taken_for_dead(
    database_url: str, places: str, tmp_path: Path
) -> None:
    """The server ends a transaction after half a lease of silence; what puts a file together says that it lives."""
    with open_ledger(database_url, settings=Settings(lease_seconds=0.4)) as ledger:
        execution = export(ledger, places, tmp_path / "places.csv").submit()
        until_step("export.assembled", lambda: threading.Event().wait(1.0))
        execution.finish()
        assert execution.export().verify() == "equal"
        (written,) = [
            e for e in ledger.audit(execution_id=execution.id) if e.topic == "export.written"
        ]
        assert written.details["attempt"] == 1
