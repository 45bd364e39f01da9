"""What the README and the guide of the command line show is run, and their links lead somewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import Parameters, col, set_action
from action_ledger.ops import Settings, open_ledger
from action_ledger.ops.cli_exit_codes import ExitCode
from action_ledger.ops.places import load_places
from tests.command_line import CommandLine

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = ROOT / "docs" / "guide"
GUIDE = GUIDES / "command-line.md"


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)


def commands(path: Path) -> list[list[str]]:
    """The commands of a document, without the program's own name."""
    text = "\n".join(blocks(path, "sh")).replace("\\\n", " ")
    whole = re.findall(r"^action-ledger (?:[^'\n]|'[^']*')*", text, re.MULTILINE)
    return [shlex.split(command, comments=True)[1:] for command in whole]


@pytest.fixture
def demo(connection: Connection[DictRow]) -> None:
    """A few places, as the demo leaves very many: numbered as they are there, from the first two of Iceland on."""
    rows: list[tuple[object, ...]] = [
        (
            2_625_189 + 63 * n,
            f"place {n}",
            "IS",
            None,
            500 + 10 * n,
            65.0,
            -18.0,
            "Atlantic/Reykjavik",
            ["x"],
        )
        for n in range(100)
    ]
    load_places(connection, rows, lambda _done, _total: None)


@pytest.mark.usefixtures("demo")
def test_the_python_of_the_readme(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACTION_LEDGER_DATABASE_URL", database_url)
    (program,) = blocks(README, "python")
    assert len(program.splitlines()) <= 22
    exec(compile(program, str(README), "exec"), {})  # noqa: S102 - our own text
    first, *_, last = capsys.readouterr().out.splitlines()
    assert (first, last) == ("completed 50", "completed 50 []")


@pytest.mark.usefixtures("demo")
def test_the_commands_of_the_readme(database_url: str) -> None:
    cli = CommandLine(database_url)
    shown = commands(README)
    assert len(shown) == 5
    for command in shown:
        destructive = command[0] == "run"
        said = cli(*command, *(["--yes"] if destructive else []))
        assert said.code == 0, (command, said.err)


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("name", ["python.md", "errors.md", "previews.md"])
def test_the_python_of_the_guides(
    name: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTION_LEDGER_DATABASE_URL", database_url)
    program = "\n".join(blocks(GUIDES / name, "python"))
    names: dict[str, object] = {}
    exec(compile(program, name, "exec"), names)  # noqa: S102 - our own text
    if name == "python.md":
        assert names["counts"].applied == 50  # type: ignore[attr-defined]
        assert names["undo"].__class__.__name__ == "UndoHandle"


@pytest.mark.usefixtures("demo")
def test_the_lines_of_the_guide_from_laravel(database_url: str) -> None:
    """Each line on ``places`` runs, and each setting is there."""

    class Promotion(Parameters):
        bonus: int

    @set_action
    def promote(parameters: Promotion) -> Any:
        """Promote."""
        return {"score": parameters.bonus}

    text = (GUIDES / "from-laravel-action-engine.md").read_text(encoding="utf-8")
    lines = re.findall(r"`(places\.[^`]+)`", text)
    assert len(lines) == 4
    with open_ledger(database_url, actions=[promote]) as ledger:
        for line in lines:
            names = {"places": ledger.on("demo.places"), "col": col}
            eval(line, names)  # noqa: S307 - our own text
    known = {f"ACTION_LEDGER_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"ACTION_LEDGER_[A-Z_]+", text)) <= known


@pytest.mark.usefixtures("demo")
def test_the_guide_to_actions(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program, and then its commands, which find what it defines in a module of the working directory."""
    monkeypatch.setenv("ACTION_LEDGER_DATABASE_URL", database_url)
    guide = GUIDES / "actions.md"
    parts = blocks(guide, "python")
    names: dict[str, Any] = {}
    exec(compile("\n".join(parts), guide.name, "exec"), names)  # noqa: S102 - our own text
    for handle in ("promoted", "tidied", "told"):
        assert (names[handle].status, names[handle].progress().applied) == ("completed", 100)
    told = list(names["told"].results())
    assert told[0].result == {"told": "place 0 (IS)"}
    assert names["halve"].name == "halve"
    names["ledger"].close()
    opens = "def open_shop():\n    return open_ledger(actions=[promote, tidy, announce])\n"
    defined = [part for part in parts if "open_ledger(" not in part]
    imported = "from action_ledger.ops import open_ledger\n"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "ledger.py").write_text(imported + "\n".join(defined) + opens)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    cli = CommandLine(database_url)
    shown = commands(guide)
    assert len(shown) == 4
    for command in shown:
        said = cli(*command)
        assert said.code == ExitCode.DONE, (command, said.err)


@pytest.mark.usefixtures("demo")
def test_the_commands_of_the_guide(database_url: str) -> None:
    cli = CommandLine(database_url)
    update = ("run", "demo.places", "update", "--keys", "2625189,2625252", "--set", "status=x")
    made = cli(*update, "--by", "t", "--json").json
    shown = commands(GUIDE)
    assert len(shown) >= 9
    for command in shown:
        typed = [made["id"] if word in {"9c28", "$id"} else word for word in command]
        destructive = command[0] == "run" or "force" in command
        said = cli(*typed, *(["--yes"] if destructive else []))
        # The examples are one after the other here, so an undo may find that it was done already.
        assert said.code in {ExitCode.DONE, ExitCode.REFUSED}, (command, said.out, said.err)
        refusals = {"already_undone", "execution_ended", "nothing_to_undo"}
        assert said.code == ExitCode.DONE or said.error in refusals, (command, said.err)


def test_the_guide_lists_every_exit_code() -> None:
    listed = re.findall(r"^\| (\d+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert list(map(int, listed)) == list(ExitCode)


@pytest.mark.parametrize("path", [README, *sorted(GUIDES.glob("*.md"))], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (path.parent / link).exists(), link
