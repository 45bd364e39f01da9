"""A person is told for whom work under way waits: by the bar of a run, by watch and by show."""

import json
import re
import time
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import StoreUnavailable
from action_ledger.ops import Ledger
from action_ledger.ops.blockers import read_blockers
from action_ledger.ops.cli_lookout import looking_on
from action_ledger.ops.cli_terminal import Terminal
from tests.command_line import CommandLine
from tests.integration.test_cli_processes import session
from tests.worker_process import until

pytestmark = pytest.mark.slow

BY = ("--by", "user:42")
RUN = ("run", "places", "update", "--all", "--set", "note=new", "--yes", *BY)


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


@contextmanager
def holding(url: str) -> Generator[int]:
    """Hold one row in a transaction that was left open; give the session's pid."""
    with psycopg.connect(url, application_name="psql") as outsider:
        outsider.execute("SELECT FROM places WHERE id = 50 FOR UPDATE")
        yield outsider.info.backend_pid
        outsider.rollback()


def plain(seen: str) -> str:
    return " ".join(re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", seen).split())


@pytest.mark.parametrize("name", ["", "&application_name=mine"])
def test_the_bar_names_who_holds_a_row_of_what_fits_one_batch(
    cli: CommandLine, database_url: str, name: str
) -> None:
    cli = CommandLine(database_url + name)
    with holding(database_url) as pid, session(cli, *RUN) as terminal:
        terminal.expect(f"pid {pid}")
        terminal.expect(" s)")
        said = plain(terminal.seen)
        assert f"waits for a row lock held by pid {pid} (psql, user " in said
        assert "idle in transaction for " in said


def test_what_is_not_recorded_yet_is_listed_and_shown(cli: CommandLine, database_url: str) -> None:
    """What fits one batch is recorded when it is done: until then it is the session that tells of it."""
    with holding(database_url) as pid, session(cli, *RUN) as terminal:
        terminal.expect(f"pid {pid}")
        listed = cli("executions").out
        assert f"waits for a row lock held by pid {pid} (psql, user " in listed
        assert "Nothing was done yet" not in listed
        found = re.search(r"^[0-9a-f-]{36}(?=  at work)", listed, re.MULTILINE)
        assert found
        assert cli("executions", "--json").json == []
        assert "No execution is like that" in cli("executions", "--actor", "user:42").out
        for given in (found[0], found[0][-8:], "last"):
            assert f"waits for a row lock held by pid {pid} (psql, user " in cli("show", given).out
        shown = cli("show", found[0], "--json").json
        assert (shown["id"], shown["status"]) == (found[0], "at work")
        assert [one["pid"] for one in shown["blocked_by"]] == [pid]
        assert cli("show", "f" * 8).error == "execution_not_found"
    # It was killed by then, so nothing is left of it.
    until(lambda: cli("show", found[0]).error == "execution_not_found")
    assert "Nothing was done yet" in cli("executions").out


def test_watch_and_show_name_who_holds_a_row(
    cli: CommandLine, database_url: str, ledger: Ledger
) -> None:
    with holding(database_url) as pid, session(cli, *RUN, "--batch-size", "10") as terminal:
        terminal.expect("/100")
        terminal.expect(f"pid {pid}")
        shown = cli("show", "last")
        assert "at work on it" in shown.out
        assert "worker --until-idle" not in shown.out
        waits = f"waits for a row lock held by pid {pid} (psql, user "
        assert waits in shown.out
        assert "idle in transaction for " in shown.out
        (blocker,) = cli("show", "last", "--json").json["blocked_by"]
        assert (blocker["pid"], blocker["application"]) == (pid, "psql")
        assert (blocker["state"], blocker["lock"]) == ("idle in transaction", "row")
        with session(cli, "watch") as watching:
            watching.expect(f"pid {pid}")
        with session(cli, "watch", "--json") as watching:
            watching.expect(f'"pid": {pid}')
        # Of an execution that others have nothing to do with, nobody is in the way.
        with Connection.connect(database_url, autocommit=True) as connection:
            connection.execute("CREATE TABLE others (id int PRIMARY KEY, n int)")
            connection.execute("INSERT INTO others VALUES (1, 1)")
        other = ledger.on("others").all().update(n=2).by("user:1").submit()
        assert read_blockers(ledger.store, other.id) == []
    ended = cli("show", other.id, "--json").json
    assert ended["blocked_by"] == []


def test_an_undo_that_waits_says_so(
    cli: CommandLine, database_url: str, connection: Connection[DictRow]
) -> None:
    assert cli(*RUN).code == 0
    undo = ("undo", "last", "--on-conflict", "force", "--yes", *BY)
    with holding(database_url) as pid, session(cli, *undo) as terminal:
        terminal.expect(f"pid {pid}")
        found = connection.execute("SELECT undo_id FROM action_ledger.view_undos_g1").fetchone()
        assert found
        assert f"held by pid {pid} (psql" in cli("show", found["undo_id"]).out
        said = json.loads(cli("show", found["undo_id"], "--json").out)
        assert [one["pid"] for one in said["blocked_by"]] == [pid]
        assert "worker --until-idle" not in cli("show", found["undo_id"]).out
    until(lambda: not json.loads(cli("show", found["undo_id"], "--json").out)["blocked_by"])


def test_a_server_without_a_connection_to_spare_is_not_away(
    ledger: Ledger, places: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise StoreUnavailable(reason="sorry, too many clients already")

    execution = ledger.on(places).all().update(note="x").by("user:1").run()
    monkeypatch.setattr(ledger._database, "connect", full)
    with looking_on(Terminal(), execution, lambda _: None):
        time.sleep(3)
    assert "does not answer" not in capsys.readouterr().err
