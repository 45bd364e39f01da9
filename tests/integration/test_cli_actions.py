"""Actions on the command line: which there are, what each takes, and those of the host's own run by it."""

from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.actions import BUILT_IN
from tests.command_line import CommandLine

APP = "tests.shop:open_shop"
BY = ("--by", "user:42")
NEWEST = (
    "SELECT queue, batches FROM action_ledger.view_executions_g1 ORDER BY requested_at DESC LIMIT 1"
)


@pytest.fixture
def cli(database_url: str, places: str, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    assert places == "public.places"
    monkeypatch.chdir(Path(__file__).parents[2])
    found = CommandLine(database_url)
    found.environment["ACTION_LEDGER_APP"] = APP
    return found


def test_the_actions_are_listed_with_what_is_known_of_them(cli: CommandLine) -> None:
    listed = {action["name"]: action for action in cli("actions", "--json").json}
    assert list(listed) == [*(action.name for action in BUILT_IN), "promote", "rename", "double"]
    assert [listed[name]["kind"] for name in ("archive", "promote", "rename")] == [
        "built_in",
        "set",
        "record",
    ]
    rename = listed["rename"]
    assert (rename["queue"], rename["batch_size"]) == ("names", 40)
    assert rename["reversibility"] == "reversible"
    assert rename["description"] == "Rename places, one by one."
    assert listed["double"]["destructive"] is True
    assert listed["double"]["label"] == "Double the score"
    schema = listed["promote"]["parameters"]
    assert schema["properties"]["bonus"] == {"title": "Bonus", "type": "integer"}
    assert schema["required"] == ["bonus"]
    lines = cli("actions").out.splitlines()
    assert lines[0].split()[:4] == ["NAME", "KIND", "DESTRUCTIVE", "UNDO"]
    (line,) = [line for line in lines if line.startswith("double")]
    assert line.split(maxsplit=4) == [
        *("double", "record", "yes", "reversible"),
        "Double the score of places that have one, as a class.",
    ]


def test_one_is_shown_with_its_parameters(cli: CommandLine) -> None:
    said = cli("actions", "promote").out
    assert "promote: Promote" in said
    rows = [line.split() for line in said.splitlines()]
    assert ["bonus", "integer", "yes"] in rows
    assert ["country", "string", "or", "null", "no", "null"] in rows
    assert "takes no parameters" in cli("actions", "double").out
    assert cli("actions", "promote", "--json").json["kind"] == "set"
    assert cli("actions", "update").code == 0
    wrong = cli("actions", "demote")
    assert (wrong.code, wrong.error) == (2, "unknown_action")


def test_an_action_of_the_hosts_own_is_run(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    done = cli(
        *("run", "places", "promote", "--keys", "1,2,3", "--param", "bonus=5"),
        *("--param", "country=FR", *BY),
    )
    assert done.code == 0
    assert "1 done" in done.out
    (row,) = connection.execute("SELECT score, note FROM places WHERE id = 2").fetchall()
    assert (row["score"], row["note"]) == (7, "promoted")
    json = cli(
        *("run", "places", "promote", "--keys", "5", "--params-json", '{"bonus": 1}', "--json", *BY)
    )
    assert json.json["applied"] == 1
    assert "promote by user:42" in cli("history", "places", "2").out
    found = cli(
        *("preview", "places", "promote", "--all", "-p", "bonus=1", "-p", "country=DE"),
        *("--json", *BY),
    )
    assert found.json["count"] == 50


def test_its_own_queue_and_batch_size_are_used_where_nothing_is_said(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    run = ("run", "places", "rename", "--all", "--json", *BY)
    for options, expected in (
        ((), ("names", 3)),
        (("--queue", "other", "--batch-size", "100"), ("other", 1)),
    ):
        assert cli(*run, *options).code == 0
        (row,) = connection.execute(NEWEST).fetchall()
        assert (row["queue"], row["batches"]) == expected


def test_one_that_is_destructive_asks(cli: CommandLine) -> None:
    run = ("run", "places", "double", "--keys", "1", *BY)
    said = cli(*run)
    assert (said.code, said.error) == (5, "confirmation_required")
    assert cli(*run, "--yes").code == 0


def test_wrong_parameters_are_told(cli: CommandLine) -> None:
    run = ("run", "places", "promote", "--keys", "1", *BY)
    for options, detail in (
        (("--param", "bonus=much"), "bonus: "),
        ((), "bonus: it is missing"),
        (("--param", "bonus"), "--param takes name=value"),
        (("--param", "bonus=1", "--set", "a=b"), "--set and --set-null belong to update"),
    ):
        said = cli(*run, *options)
        assert (said.code, said.error) == (2, "invalid_parameters")
        assert detail in said.err
