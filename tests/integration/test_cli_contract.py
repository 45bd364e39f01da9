"""What scripts rely on: one line or JSON for every error, the id of what was interrupted, and no long silence."""

import json
import signal
import subprocess
import sys
import time

import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    InvalidParameters,
    InvalidSetting,
    InvalidValue,
    LedgerClosed,
    StoreUnavailable,
)
from action_ledger.ops import Ledger, open_ledger
from tests.command_line import CommandLine
from tests.integration.test_cli_processes import PROGRAM

BY = ("--by", "user:42")


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_script_is_given_the_execution(
    cli: CommandLine, connection: Connection[DictRow], number: signal.Signals
) -> None:
    connection.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.05); RETURN new; END'"
    )
    connection.execute(
        "CREATE TRIGGER slow BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    words = ("run", "places", "update", "--all", "--set", "note=new", "--batch-size", "1", "--json")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words, *BY],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli.process_environment(),
    )  # fmt: skip
    end = time.monotonic() + 60
    while not (found := cli("executions", "--json").json) or not found[0]["applied"]:
        assert time.monotonic() < end
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (json.loads(err)["code"], json.loads(err)["workers"]) == ("interrupted", [])
    given = json.loads(out)
    assert (given["id"], given["status"]) == (found[0]["id"], "running")
    assert 0 < given["applied"] < 100


def test_a_server_that_refuses_is_told_at_once(database_url: str) -> None:
    for url, reason in (
        ("postgresql://me@127.0.0.1:1/none", "refused"),
        (make_conninfo(database_url, dbname="no_such_database"), "no_such_database"),
        (make_conninfo(database_url, user="no_such_login"), "no_such_login"),
    ):
        started = time.monotonic()
        said = CommandLine(url)("executions")
        assert time.monotonic() - started < 10
        assert (said.code, said.error) == (4, "store_unavailable")
        assert reason in said.err
        assert "?." not in said.err
        with pytest.raises(StoreUnavailable, match=reason):
            open_ledger(url)


def test_everything_asks_on_a_terminal_only(cli: CommandLine) -> None:
    assert cli("run", "places", "update", "--all", "--set", "note=new", *BY).code == 0


def test_the_newest_events_are_shown(cli: CommandLine) -> None:
    for key in (1, 2, 3):
        cli("run", "places", "update", "--keys", key, "--set", "note=new", *BY)
    everything = [entry["position"] for entry in cli("audit", "--json").json]
    assert everything == sorted(everything)
    newest = [entry["position"] for entry in cli("audit", "-n", 2, "--json").json]
    assert newest == everything[-2:]
    assert "--after 0" in cli("audit", "-n", 2).out
    first = [entry["position"] for entry in cli("audit", "-n", 2, "--after", 0, "--json").json]
    assert first == everything[:2]
    assert "no event" in cli("audit", "--after", 999_999).out
    assert cli("audit", "--after=-1").error == "invalid_value"
    assert cli("executions", "--limit", 10**20).error == "invalid_value"


def test_a_filter_that_matches_nothing_is_not_an_empty_ledger(cli: CommandLine) -> None:
    assert "Nothing was done yet" in cli("executions").out
    assert "No execution is like that" in cli("executions", "--actor", "nobody").out


def test_in_a_pipe_nothing_is_cut_and_nothing_trails(cli: CommandLine) -> None:
    long = "x" * 500
    cli("run", "places", "update", "--keys", 1, "--set", f"note={long}", *BY)
    for command in (
        ("show",),
        ("history", "places", "1"),
        ("preview", "places", "delete", "--keys", "1", "--by", "t"),
    ):
        said = cli(*command)
        assert long in said.out
        assert all(line == line.rstrip() for line in said.out.splitlines())


def test_an_unknown_table_is_found_elsewhere(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY)")
    said = cli("preview", "orders", "delete", "--hard", "--all", "--by", "t")
    assert said.error == "unknown_table"
    assert "There is shop.orders." in said.err


def test_python_gives_typed_errors_too(ledger: Ledger, places: str, database_url: str) -> None:
    for condition in ("id = 1", True, col("id")):
        with pytest.raises(InvalidValue, match="made of columns"):
            ledger.on(places).where(condition)  # type: ignore[arg-type]
    with pytest.raises(InvalidValue):
        ledger.executions(limit=10**20)
    with pytest.raises(InvalidParameters):
        ledger.on(places).all().delete(hard="yes")  # type: ignore[arg-type]
    for workers in (0, -1):
        with pytest.raises(InvalidParameters, match="1 or more"):
            ledger.on(places).all().update(note="x").by("t").run(workers=workers)
    assert ledger.executions() == []
    with pytest.raises(InvalidParameters, match="90 at most"):
        ledger.on(places).all().update(note="x").undoable(days=400)
    with pytest.raises(InvalidSetting):
        open_ledger("")
    closed = open_ledger(database_url)
    closed.close()
    with pytest.raises(LedgerClosed):
        closed.executions()
