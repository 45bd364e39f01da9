"""Files of exports are removed when their time is over, and only those that are still what was written."""

import time
from pathlib import Path

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import ExecutionHandle, Ledger, Settings, open_ledger
from tests.command_line import CommandLine
from tests.invariants import check_invariants

DAY = 86_400


def export(ledger: Ledger, places: str, path: Path) -> ExecutionHandle:
    return ledger.on(places).all().export(path, overwrite=True).by("user:1").run()


def test_after_seven_days(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    execution = export(ledger, places, path)
    assert Settings().export_retention_days == 7
    assert ledger.exports.clean(by="user:2") == []
    assert (
        ledger.exports.clean(by="user:2", days=1 / DAY / 1000, dry_run=True)[0].outcome == "removed"
    )
    assert path.exists(), "a dry run removes nothing"
    (cleaned,) = ledger.exports.clean(by="user:2", days=0)
    assert (cleaned.execution_id, cleaned.path) == (execution.id, str(path))
    assert not path.exists()
    view = execution.export()
    assert (view.status, view.outcome, view.path) == ("cleaned", "removed", None)
    assert view.sha256 is not None, "the manifest stays"
    (event,) = [e for e in ledger.audit(execution_id=execution.id) if e.topic == "export.cleaned"]
    assert event.actor == "user:2"
    assert ledger.exports.clean(days=0) == []
    check_invariants(connection, ledger=ledger)


def test_what_is_not_the_exports_own_is_left_alone(
    ledger: Ledger, places: str, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("gone.csv", "other.csv", "same_size.csv", "again.csv")]
    gone, other, same, again = (export(ledger, places, path) for path in paths)
    later = export(ledger, places, paths[3])
    paths[0].unlink()
    paths[1].write_text("mine")
    paths[2].write_bytes(b"x" * paths[2].stat().st_size)
    found = {one.execution_id: one.outcome for one in ledger.exports.clean(days=0)}
    assert found == {
        gone.id: "missing",
        other.id: "replaced",
        same.id: "replaced",
        again.id: "replaced",
        later.id: "removed",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.csv", "same_size.csv"]


def test_files_that_cannot_be_seen_from_here(ledger: Ledger, places: str, tmp_path: Path) -> None:
    directory = tmp_path / "mounted"
    directory.mkdir()
    execution = export(ledger, places, directory / "a.csv")
    directory.rename(tmp_path / "elsewhere")
    assert ledger.exports.clean(days=0) == []
    assert execution.export().status == "written"


def test_workers_clean_by_themselves(database_url: str, places: str, tmp_path: Path) -> None:
    settings = Settings(export_retention_days=0.5 / DAY, lease_seconds=0.5)
    with open_ledger(database_url, settings=settings) as ledger:
        execution = export(ledger, places, tmp_path / "a.csv")
        deadline = time.monotonic() + 20
        ledger.work(lambda: execution.export().status == "cleaned" or time.monotonic() > deadline)
        assert execution.export().outcome == "removed"
        assert execution.export().cleaned_at is not None
    assert not list(tmp_path.iterdir())


def test_the_command_line(database_url: str, places: str, tmp_path: Path) -> None:
    line = CommandLine(database_url)
    there = {"ACTION_LEDGER_EXPORT_DIR": str(tmp_path), "ACTION_LEDGER_ACTOR": "user:1"}
    assert "no export" in line("exports", "list", **there).out
    said = line("run", places, "export", "--all", "--to", "a.csv", "--columns", "id, name", **there)
    assert said.code == 0
    flat = said.out.replace("\n", "")
    assert str(tmp_path / "a.csv") in flat
    assert "SHA-256" in said.out
    assert (tmp_path / "a.csv").read_text().startswith('"id","name"\n1,"place 1"\n')
    again = line("run", places, "export", "--all", "--to", "a.csv", **there)
    assert (again.code, again.error) == (3, "export_exists")
    more = ("--to", "a.csv", "--format", "ndjson", "--overwrite", "--json")
    assert line("run", places, "export", "--all", *more, **there).json["status"] == "completed"
    assert (tmp_path / "a.csv").read_text().startswith('{"id":1,')
    listed = line("exports", "list", "--json", **there).json
    assert [one["format"] for one in listed] == ["ndjson", "csv"]
    assert listed[0]["execution_id"] in line("exports", "list", **there).out
    assert line("exports", "verify", "last", **there).code == 0
    assert line("exports", "verify", "a.csv", "--json", **there).json["result"] == "equal"
    assert line("exports", "verify", tmp_path / "a.csv", **there).code == 0
    (tmp_path / "a.csv").write_text("altered")
    assert line("exports", "verify", "a.csv", **there).code == 1
    assert line("exports", "verify", "b.csv", **there).error == "export_not_found"
    assert line("undo", "last", "--yes", **there).error == "not_reversible"
    bad = line("run", places, "export", "--all", "--to", "../b.csv", **there)
    assert (bad.code, bad.error) == (2, "invalid_parameters")
    none = line("run", places, "export", "--all", **there)
    assert (none.code, none.error) == (2, "invalid_parameters")
    dry = line("exports", "clean", "--days", 0, "--dry-run", "--json", **there).json
    assert [one["outcome"] for one in dry] == ["replaced", "replaced"]
    assert line("exports", "clean", "--days", 0, **there).out.count("replaced") == 2
    assert line("exports", "list", "--json", **there).json[0]["status"] == "cleaned"
