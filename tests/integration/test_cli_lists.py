"""The lists of the command line: a table is found as anywhere else, and a list of none is no answer."""

import csv
import io

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.command_line import CommandLine

BY = ("--by", "user:42")
UPDATE = ("run", "places", "update", "--set", "note=new", "--keys", "1,2", *BY)


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


class TestExecutionsOfATable:
    @pytest.mark.parametrize("name", ["places", "public.places", "Places", '"public"."places"'])
    def test_it_is_named_as_anywhere_else(self, cli: CommandLine, name: str) -> None:
        cli(*UPDATE)
        (found,) = cli("executions", "--table", name, "--json").json
        assert found["table"] == "public.places"

    def test_an_unknown_one_is_an_error(
        self, cli: CommandLine, connection: Connection[DictRow]
    ) -> None:
        cli(*UPDATE)
        said = cli("executions", "--table", "place")
        assert (said.code, said.error) == (2, "unknown_table")
        connection.execute("CREATE VIEW seen AS SELECT * FROM places")
        assert cli("executions", "--table", "seen").error == "unsupported_table"

    def test_one_without_executions_has_none(
        self, cli: CommandLine, connection: Connection[DictRow]
    ) -> None:
        connection.execute("CREATE TABLE others (id bigint)")
        assert cli("executions", "--table", "others", "--json").json == []
        assert "No execution is like that" in cli("executions", "--table", "others").out

    def test_one_that_is_gone_is_named_as_it_was(
        self, cli: CommandLine, connection: Connection[DictRow]
    ) -> None:
        cli(*UPDATE)
        connection.execute("ALTER TABLE places RENAME TO spots")
        assert len(cli("executions", "--table", "public.places", "--json").json) == 1
        found = cli("executions", "--table", "public.places", "--actor", "nobody", "--json")
        assert found.json == []
        assert cli("executions", "--table", "places").error == "unknown_table"


@pytest.mark.parametrize(
    "command",
    [
        ("executions",),
        ("show",),
        ("audit",),
        ("outcomes", "last"),
        ("inbox",),
        ("exports", "list"),
        ("schedules", "list"),
        ("schedules", "show", "last"),
        ("schedules", "upcoming"),
        ("chains", "list"),
        ("hooks", "list"),
    ],
)
def test_a_list_has_one_line_at_least(cli: CommandLine, command: tuple[str, ...]) -> None:
    cli(*UPDATE)
    said = cli(*command, "--limit", 0)
    assert (said.code, said.error) == (2, "invalid_usage")
    assert "--limit" in said.err


def test_the_table_of_what_failed_is_named_in_a_list(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    connection.execute("ALTER TABLE places ADD CONSTRAINT forbidden CHECK (note IS NULL)")
    cli(*UPDATE)
    listed = cli("outcomes", "last", "--format", "csv").out
    assert {row["table"] for row in csv.DictReader(io.StringIO(listed))} == {"public.places"}
