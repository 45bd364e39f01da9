"""`--once KEY` where a run, an undo and a redo are not meant: a retry, a schedule and a chain sent twice are one."""

import json

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.command_line import CommandLine
from tests.integration.test_cli_chains import STEPS

BY = ("--by", "user:42")
ONCE = ("--once", "job-7")


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places
    return CommandLine(database_url)


def test_a_retry(cli: CommandLine, connection: Connection[DictRow]) -> None:
    """Asked again without the key it is refused, since what it did stands."""
    connection.execute("ALTER TABLE places ADD CONSTRAINT few CHECK (score < 50) NOT VALID")
    update = ("run", "places", "update", "--all", "--set", "score=60", *BY, "--json")
    execution = cli(*update).json["id"]
    connection.execute("ALTER TABLE places DROP CONSTRAINT few")
    first = cli("retry", execution, *BY, *ONCE, "--json")
    assert (first.code, first.json["applied"]) == (0, 100), first.err
    again = cli("retry", execution, *BY, *ONCE, "--json")
    assert (again.code, again.json["id"]) == (0, first.json["id"]), again.err
    assert cli("retry", execution, *BY, "--not-processed", *ONCE).error == "command_reused"
    assert cli("retry", execution, *BY).error == "already_retried"


def test_a_schedule(cli: CommandLine) -> None:
    what = ("schedule", "places", "update", "--keys", "1", "--set", "note=x", *BY)
    when = ("--cron", "0 4 * * *", "--timezone", "UTC")
    first, again = (cli(*what, *when, *ONCE, "--json") for _ in range(2))
    assert (first.code, again.code) == (0, 0), again.err
    assert first.json["id"] == again.json["id"]
    assert cli(*what, "--cron", "0 5 * * *", *when[2:], *ONCE).error == "command_reused"
    assert len(cli("schedules", "list", "--json").json) == 1


def test_a_chain(cli: CommandLine) -> None:
    steps = [
        {"execution": {**step["execution"], "resource": {"table": "places"}}} for step in STEPS[:2]
    ]
    first, again = (
        cli("chain", json.dumps({"steps": steps}), *BY, "--submit", *ONCE, "--json")
        for _ in range(2)
    )
    assert (first.code, again.code) == (0, 0), again.err
    assert first.json["id"] == again.json["id"]
    other = cli("chain", json.dumps({"steps": steps[:1]}), *BY, "--submit", *ONCE)
    assert other.error == "command_reused"
    assert len(cli("chains", "list", "--json").json) == 1
