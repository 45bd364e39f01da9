"""`action-ledger undo`: merging, columns, previews, what is asked before, and who wrote to the records later."""

import json
import re

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.command_line import CommandLine
from tests.dump import dump_ledger, dump_table
from tests.integration.test_cli_processes import session
from tests.integration.test_cli_ways_back import offered, paste

BY = ("--by", "user:42")
UPDATE = (
    "run",
    "places",
    "update",
    "--all",
    "--set",
    "note=new",
    "--set",
    "score=0",
    *BY,
    "--json",
)


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


def notes(connection: Connection[DictRow]) -> int:
    row = connection.execute("SELECT count(note) AS n FROM places").fetchone()
    return row["n"] if row else -1


def test_merge_says_what_it_left(cli: CommandLine, connection: Connection[DictRow]) -> None:
    execution = cli(*UPDATE).json["id"]
    connection.execute("UPDATE places SET note = 'mine' WHERE id IN (3, 4)")
    connection.execute("UPDATE places SET note = 'mine', score = 7 WHERE id = 5")
    skipped = cli("undo", "last", *BY)
    assert skipped.code == 1
    merge = next(words for words in offered(skipped) if "merge" in words)
    said = paste(cli, merge)
    assert said.code == 1
    assert "3 records: 2 restored, 1 left as it is" in said.out
    assert "2 came back but for columns that were changed since" in said.out
    assert connection.execute("SELECT score FROM places WHERE id = 3").fetchone() == {"score": 3}
    force = next(words for words in offered(said) if "force" in words)
    assert not [words for words in offered(said) if "merge" in words]
    assert paste(cli, force, "--yes").code == 0
    assert notes(connection) == 0
    shown = cli("show", execution, "--json").json
    assert shown["undone"] == 100


def test_columns(cli: CommandLine, connection: Connection[DictRow]) -> None:
    execution = cli(*UPDATE).json["id"]
    undo = cli("undo", "last", *BY, "--columns", "score", "--json")
    assert (undo.code, undo.json["columns"], undo.json["applied"]) == (0, ["score"], 100)
    assert notes(connection) == 100
    assert "only of score" in cli("show", undo.json["id"]).out
    shown = cli("show", execution)
    assert offered(shown)[-1][:4] == ["undo", execution, "--columns", "note"]
    refused = cli("undo", execution, *BY, "--columns", "name,score")
    assert (refused.code, refused.error) == (3, "columns_not_undoable")
    assert cli("undo", execution, *BY, "--columns", "scor").error == "unknown_column"
    assert paste(cli, offered(shown)[-1]).code == 0
    assert notes(connection) == 0
    after = cli("show", execution)
    assert not [words for words in offered(after) if words[0] == "undo"]
    assert cli("undo", execution, *BY).error == "already_undone"
    assert cli("executions", "--json").json[0]["undone"] == 100


def test_preview_changes_nothing(cli: CommandLine, connection: Connection[DictRow]) -> None:
    execution = cli(*UPDATE).json["id"]
    later = cli(
        "run", "places", "update", "--keys", "3,4", "--set", "note=x", "--by", "user:7", "--json"
    )
    before = dump_ledger(connection), dump_table(connection, "public.places")
    said = cli("undo", execution, *BY, "--on-conflict", "merge", "--preview")
    assert said.code == 0, said.err
    assert "would be of 100 records" in said.out
    assert "100 restored" in said.out
    assert "2 came back but for columns that were changed since" in said.out
    assert f"execution {later.json['id']}, update by user:7" in said.out
    told = cli("undo", execution, *BY, "--preview", "--sample", "1", "--json").json
    assert told["tally"] == {"applied": 98, "failed": 0, "skipped": 2}
    assert told["columns"]["note"] == {"restored": 98, "changed_since": 2}
    assert (len(told["changes"]), len(told["conflicts"])) == (1, 1)
    assert told["conflicts"][0]["recorded"] == {"note": "new", "score": "0"}
    assert [(one["execution_id"], one["records"]) for one in told["later"]] == [
        (later.json["id"], 2)
    ]
    few = cli("undo", execution, *BY, "--preview", "--records", "10", "--json").json
    assert (few["tried"], few["exact"], few["conflicts_in_all"]) == (10, False, 2)
    card = cli("undo", execution, *BY, "--preview", "--records", "10").out
    assert re.search(r"^  of those +8 restored", card, re.MULTILINE), card
    assert re.search(r"^  of all +2 records were changed since$", card, re.MULTILINE), card
    fails = ("undo", execution, *BY, "--on-conflict", "fail")
    assert "2 records were changed again" in cli(*fails).err
    assert cli(*fails).err.endswith("\nKeys, for example: 3; 4\n")
    refused = json.loads(cli(*fails, "--json").err)
    assert (refused["conflicts"], refused["sample"]) == (2, ["3", "4"])
    assert cli("redo", execution, *BY, "--preview").error == "nothing_to_undo"
    assert (dump_ledger(connection), dump_table(connection, "public.places")) == before
    undo = cli("undo", execution, *BY, "--json").json
    assert [one["execution_id"] for one in undo["later"]] == [later.json["id"]]
    assert "Later on the same records" in cli("show", undo["id"]).out


def test_a_script_has_to_mean_it(cli: CommandLine, connection: Connection[DictRow]) -> None:
    execution = cli(*UPDATE).json["id"]
    many = {"ACTION_LEDGER_CLI_CONFIRM_ABOVE": "99"}
    refused = cli("undo", execution, *BY, **many)
    assert (refused.code, refused.error) == (5, "confirmation_required")
    assert cli("undo", execution, *BY, "--on-conflict", "force").error == "confirmation_required"
    assert notes(connection) == 100
    some = cli("undo", execution, *BY, "--keys", "1,2", **many)
    assert some.code == 0
    assert cli("undo", execution, *BY, "--yes", **many).code == 0
    assert notes(connection) == 0
    assert (
        cli("redo", "last", *BY, ACTION_LEDGER_CLI_CONFIRM_ABOVE="9").error
        == "confirmation_required"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "answer", "done"),
    [
        ((), "y\n", True),
        ((), "\n", False),
        (("--on-conflict", "force"), "undo\n", True),
        (("--on-conflict", "force"), "y\n", False),
    ],
)
def test_a_person_is_shown_and_asked(
    cli: CommandLine,
    connection: Connection[DictRow],
    more: tuple[str, ...],
    answer: str,
    done: bool,  # noqa: FBT001 - of the table above
) -> None:
    cli(*UPDATE)
    with session(cli, "undo", "last", *BY, *more) as terminal:
        terminal.expect("would be of 100 records")
        terminal.expect("Undo 100 records of public.places?")
        terminal.expect("Type undo to go on:" if more else "[y/N]")
        terminal.type(answer)
        assert terminal.end() == (0 if done else 5)
    assert notes(connection) == (0 if done else 100)


def test_once_holds_for_undo_and_redo(cli: CommandLine, connection: Connection[DictRow]) -> None:
    execution = cli(*UPDATE).json["id"]
    few = {"ACTION_LEDGER_CLI_CONFIRM_ABOVE": "9"}
    once = ("--once", "und/80")
    first = cli("undo", execution, *BY, *once, "--yes", "--json", **few)
    assert first.code == 0, first.err
    for again in (
        cli("undo", execution, *BY, *once, "--json"),
        cli("undo", execution, *BY, *once, "--json", **few),
        cli("undo", "last", *BY, *once, "--submit", "--json"),
    ):
        assert again.code == 0, again.err
        assert (again.json["id"], again.json["applied"]) == (first.json["id"], 100)
    assert f"Undo {first.json['id']}" in cli("undo", execution, *BY, *once).out
    assert cli("undo", execution, "--by", "user:9", *once).error == "command_reused"
    assert cli("undo", execution, *BY).error == "already_undone"
    once = ("--once", "red/80")
    done = cli("redo", execution, *BY, *once, "--yes", "--json", **few)
    assert done.code == 0, done.err
    for named in (execution, "last", first.json["id"]):
        again = cli("redo", named, *BY, *once, "--json", **few)
        assert (again.code, again.json["id"]) == (0, done.json["id"]), again.err
    assert notes(connection) == 100
    assert cli("redo", execution, *BY).error == "nothing_to_undo"
    assert cli("redo", execution, *BY, "--once", "red/81").error == "nothing_to_undo"


def test_what_is_offered_after_a_conflict_is_of_the_same_columns(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    cli(*UPDATE)
    connection.execute("UPDATE places SET score = 7 WHERE id IN (3, 4)")
    said = cli("undo", "last", *BY, "--columns", "score")
    assert said.code == 1
    force = next(words for words in offered(said) if "force" in words)
    assert force[force.index("--columns") + 1] == "score"
    assert force[force.index("--keys") + 1] == "3,4"
    assert paste(cli, force, "--yes").code == 0
    assert notes(connection) == 100, "the other column was not undone"


def test_what_is_offered_is_of_no_more_records_than_the_undo_was(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    execution = cli(*UPDATE, "--batch-size", "40").json["id"]
    connection.execute("UPDATE places SET note = 'mine', score = 7 WHERE id <= 45")
    said = cli("undo", "last", *BY, "--batch", "1")
    force = next(words for words in offered(said) if "force" in words)
    assert force[force.index("--batch") + 1] == "1"
    assert paste(cli, force, "--yes", "--json").json["applied"] == 40
    said = cli("undo", "last", *BY, "--keys", ",".join(map(str, range(41, 53))))
    assert said.code == 1
    force = next(words for words in offered(said) if "force" in words)
    assert force[force.index("--keys") + 1] == "41,42,43,44,45"
    redone = paste(cli, offered(said)[-1])
    assert not [words for words in offered(redone) if words[0] == "undo"]
    assert f"undo {execution} and the same --keys as before" in redone.out
    connection.execute("UPDATE places SET note = 'mine', score = 7")
    said = cli("undo", "last", *BY, "--keys", ",".join(map(str, range(41, 53))))
    assert not [words for words in offered(said) if "force" in words]
    assert f"undo {execution} with --on-conflict force and the same --keys" in said.out
