"""What the command line says of a result: what a rollback took back, and which changes there are to be seen."""

import re

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.command_line import CommandLine

BY = ("--by", "user:42")
UPDATE = ("run", "places", "update", "--all", "--set", "note=new", "--batch-size", 10, "--yes", *BY)


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


def test_a_rollback_says_what_was_taken_back_and_by_which_undo(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    connection.execute("ALTER TABLE places ADD CONSTRAINT forbidden CHECK (id <> 35 OR note = '')")
    said = cli(*UPDATE, "--on-failure", "rollback")
    (undo,) = cli("show", "last", "--json").json["undos"]
    assert (undo["applied"], "rolled_back" in said.out) == (39, True)
    assert "Undos and redos" in said.out
    assert undo["id"] in said.out
    assert "39 restored" in said.out
    assert undo["id"] in cli("watch", undo["execution_id"]).out


def test_a_heading_stands_over_changes_only(cli: CommandLine) -> None:
    heading = "What was changed, for example"
    assert cli(*UPDATE).code == 0
    assert re.search(rf"{heading}\n *KEY", cli("show", "last").out)
    assert cli(*UPDATE).code == 0  # every note is what it is to be
    assert heading not in cli("show", "last").out
