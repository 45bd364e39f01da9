"""--app: the command line works with the host's own ledger and its actions, and says what is wrong with a name."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import AppNotFound, InvalidApp
from action_ledger.ops import open_ledger
from action_ledger.ops.app import load_ledger
from tests.command_line import CommandLine
from tests.integration.conftest import PLACES
from tests.shop import ACTIONS

HOST = """
from action_ledger.ops import open_ledger
from tests.shop import ACTIONS


def ledger():
    return open_ledger(actions=ACTIONS)


class Config:
    ledger = staticmethod(ledger)


opened = []
number = 7


def broken():
    raise ZeroDivisionError("by zero")


def __getattr__(name):
    if name == "at_once":
        return ledger()
    raise AttributeError(name)
"""


TELLING = """
from pathlib import Path

from action_ledger.domain import Parameters, Reversibility, effect
from action_ledger.ops import open_ledger


def tell(notice, parameters):
    with Path("told").open("a") as told:
        told.write(f"{notice.event} {notice.tally.applied}\\n")


def undo_call(*_):
    pass


@effect(after_complete=tell, compensate=undo_call, reversibility=Reversibility.COMPENSABLE)
def call(record, parameters: Parameters, context):
    '''Call somebody.'''
    return True


def ledger():
    return open_ledger(actions=[call])
"""


@pytest.fixture
def cli(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[CommandLine]:
    """The command line in the directory of a host, which is a package."""
    (tmp_path / "host_shop").mkdir()
    (tmp_path / "host_shop" / "ledgers.py").write_text(HOST)
    (tmp_path / "host_wanting.py").write_text("import nonesuch_package")
    (tmp_path / "host_failing.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACTION_LEDGER_DATABASE_URL", database_url)
    yield CommandLine(database_url)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("host_")]:
        del sys.modules[name]


@pytest.mark.usefixtures("places")
def test_a_worker_with_the_hosts_ledger_does_its_actions(
    cli: CommandLine, database_url: str, connection: Connection[DictRow]
) -> None:
    with open_ledger(database_url, actions=ACTIONS) as ledger:
        execution = ledger.on("places").all().apply("rename").by("u").submit()
        ledger.worker().step(execution.id)
        with open_ledger(database_url) as other:  # one without the action leaves it to others
            assert not other.worker().step(execution.id)
        said = cli("worker", "--app", "host_shop.ledgers:ledger", "--until-idle")
        assert said.code == 0, said.err
        assert execution.progress().applied == PLACES
    (row,) = connection.execute("SELECT name FROM places WHERE id = 7").fetchall()
    assert row["name"] == "place 7!"


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_run_tells_the_hooks_of_an_action(
    cli: CommandLine, tmp_path: Path, form: tuple[str, ...]
) -> None:
    (tmp_path / "host_telling.py").write_text(TELLING)
    app = ("--app", "host_telling:ledger")
    said = cli(*app, "run", "places", "call", "--keys", "1,2", "--by", "u", "--yes", *form)
    assert said.code == 0, said.err
    assert (tmp_path / "told").read_text() == "complete 2\n"
    assert cli(*app, "hooks", "list", "--json").json == []
    undone = cli(*app, "undo", "last", "--by", "u", *form)
    assert undone.code == 0, undone.err
    assert (tmp_path / "told").read_text() == "complete 2\n"


@pytest.mark.parametrize("name", ["ledger", "Config.ledger", "at_once"])
def test_what_names_a_ledger(cli: CommandLine, name: str) -> None:
    """A function that opens it, one within a class, or the ledger itself; in an option or a variable."""
    app = f"host_shop.ledgers:{name}"
    for said in (
        cli("--app", app, "actions", "--json"),
        cli("actions", f"--app={app}", "--json"),
        cli("actions", "--json", ACTION_LEDGER_APP=app),
    ):
        assert "promote" in [action["name"] for action in said.json]
    assert "promote" not in [action["name"] for action in cli("actions", "--json").json]


@pytest.mark.parametrize(
    ("app", "error", "detail"),
    [
        ("host_shop.ledgers", InvalidApp, "not written as module:attribute"),
        (":ledger", InvalidApp, "not written as module:attribute"),
        ("host_nonesuch:ledger", AppNotFound, "there is no module host_nonesuch"),
        ("host_shop.nonesuch:ledger", AppNotFound, "there is no module host_shop.nonesuch"),
        ("host_shop.ledgers:ledgr", AppNotFound, "has no attribute ledgr"),
        ("host_shop.ledgers:number", InvalidApp, "it is 7, and no Ledger"),
        ("host_shop.ledgers:Config", InvalidApp, "what it returned is"),
        ("host_shop.ledgers:broken", InvalidApp, "ZeroDivisionError: by zero"),
        ("host_wanting:ledger", InvalidApp, "No module named 'nonesuch_package'"),
        ("host_failing:ledger", InvalidApp, "ZeroDivisionError"),
    ],
)
def test_what_names_none(
    cli: CommandLine, app: str, error: type[AppNotFound | InvalidApp], detail: str
) -> None:
    with pytest.raises(error, match=detail) as raised:
        load_ledger(app)
    assert raised.value.attributes["app"] == app
    said = cli("executions", "--app", app)
    assert (said.code, said.error) == (2, error.code)
    assert said.err.count("\n") == 1


def test_what_the_hosts_code_meets_is_told_as_it_is(cli: CommandLine, database_url: str) -> None:
    url = database_url.replace("test_", "nonesuch_")
    said = cli("executions", "--app", "host_shop.ledgers:ledger", ACTION_LEDGER_DATABASE_URL=url)
    assert (said.code, said.error) == (4, "store_unavailable")
    for option in (("--database-url", url), ("--data-dir", "here")):
        said = cli(*option, "--app", "host_shop.ledgers:ledger", "executions")
        assert (said.code, said.error) == (2, "invalid_usage")
        load_ledger("host_shop.ledgers:ledger").close()
