"""Where files may be written: relative paths stay within the directory for exports, and nothing odd is replaced."""

import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import ExportExists, ExportFailed, ExportPathRefused
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.workers.export_place import Place, resolve_target


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "exports"


@pytest.fixture
def ledger_there(database_url: str, directory: Path) -> Generator[Ledger]:
    with open_ledger(database_url, settings=Settings(export_dir=directory)) as ledger:
        yield ledger


def test_relative_paths_are_within(ledger_there: Ledger, places: str, directory: Path) -> None:
    request = ledger_there.on(places).all().export("daily/places.csv").by("user:1")
    execution = request.run()
    assert execution.export().path == str(directory.resolve() / "daily" / "places.csv")
    assert execution.export().verify() == "equal"


def test_a_link_that_leads_out(directory: Path, tmp_path: Path) -> None:
    directory.mkdir()
    (tmp_path / "outside").mkdir()
    (directory / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ExportPathRefused, match="leads out"):
        resolve_target(directory, "link/new/a.csv", overwrite=True)
    assert not list((tmp_path / "outside").iterdir())
    (directory / "within").mkdir()
    (directory / "other").symlink_to(directory / "within")
    found = resolve_target(directory, "other/a.csv", overwrite=False)
    assert found == directory.resolve() / "within" / "a.csv"


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_file_is_never_replaced(directory: Path, overwrite: bool) -> None:  # noqa: FBT001
    directory.mkdir()
    (directory / "link.csv").symlink_to("/etc/passwd")
    (directory / "folder.csv").mkdir()
    os.mkfifo(directory / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(directory / "s"))
        for name in ("link.csv", "folder.csv", "pipe.csv", "s"):
            with pytest.raises(ExportPathRefused, match="not an ordinary file"):
                resolve_target(directory, name, overwrite=overwrite)
    with pytest.raises(ExportPathRefused):
        resolve_target(directory, "/dev/null", overwrite=overwrite)


def test_an_absolute_path_wants_its_directory(directory: Path) -> None:
    with pytest.raises(ExportPathRefused, match="is not there"):
        resolve_target(directory, str(directory / "deep" / "a.csv"), overwrite=False)


def test_a_file_in_the_place_of_a_directory(directory: Path) -> None:
    directory.mkdir()
    (directory / "a").write_text("x")
    with pytest.raises(ExportFailed):
        resolve_target(directory, "a/b.csv", overwrite=False)
    with pytest.raises(ExportExists):
        resolve_target(directory, "a", overwrite=False)


def test_a_directory_that_may_not_be_written(
    ledger_there: Ledger, places: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every directory can be written, so the refusal is made."""

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    execution = ledger_there.on(places).all().export("a.csv").by("user:1").submit()
    ledger_there.worker().step(execution.id)
    monkeypatch.setattr(Place, "staging", property(refuse), raising=False)
    monkeypatch.setattr(Place, "__init__", _without_staging)
    execution.finish()
    assert (execution.status, execution.error) == ("failed", "export_failed")
    assert "Permission denied" in str(next(execution.failures()).message)
    assert not (directory / "a.csv").exists()


def _without_staging(self: Place, target: Path, _: object) -> None:
    self.target = target


def test_names_that_need_quoting(
    ledger_there: Ledger, connection: Connection[DictRow], directory: Path
) -> None:
    connection.execute(
        'CREATE TABLE "o%d {t}" ("k%s" int, "a""b" text, PRIMARY KEY ("k%s", "a""b"))'
    )
    connection.execute("""INSERT INTO "o%d {t}" VALUES (1, 'x'), (1, 'a'), (0, 'y')""")
    name = "it's 100% {odd} \n é.csv"
    ledger_there.on('public."o%d {t}"').all().export(name).by("user:1").batch_size(2).run()
    assert (directory / name).read_text() == '"k%s","a""b"\n0,"y"\n1,"a"\n1,"x"\n'
