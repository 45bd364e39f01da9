"""The command line after an undo: what it offers is what works, and what is refused says which it was."""

import json
import re
import shlex

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.command_line import CommandLine, Said

BY = ("--by", "user:42")
UPDATE = ("run", "places", "update", "--all", "--set", "note=new", *BY, "--json")


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


def offered(said: Said) -> list[list[str]]:
    """The commands that were offered, as words."""
    lines = re.findall(r"^  (action-ledger .*)$", said.out + said.err, re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


def paste(cli: CommandLine, words: list[str], *more: str) -> Said:
    return cli(*["user:7" if word == "YOU" else word for word in words], *more)


def test_an_undo_that_restored_nothing_is_not_what_is_redone(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    execution = cli(*UPDATE).json["id"]
    connection.execute("UPDATE places SET note = 'mine' WHERE id <= 5")
    first = cli("undo", "last", *BY, "--json").json
    empty = cli("undo", "last", *BY)
    assert "5 records: 5 left as they are" in empty.out
    assert "redo" not in {words[0] for words in offered(empty)}
    shown = cli("show", execution)
    assert "undone" in shown.out
    assert [words[0] for words in offered(shown)] == ["show", "redo"]
    assert offered(shown)[1][1] == first["id"]
    again = paste(cli, offered(shown)[1], "--json")
    assert (again.code, again.json["applied"], again.json["of_undo"]) == (0, 95, first["id"])
    assert [words[0] for words in offered(cli("show", execution))] == ["undo"]


def test_what_is_offered_can_be_pasted(cli: CommandLine, connection: Connection[DictRow]) -> None:
    cli(*UPDATE)
    connection.execute("UPDATE places SET note = 'mine' WHERE id in (3, 4)")
    connection.execute("DELETE FROM places WHERE id = 5")
    said = cli("undo", "last", *BY)
    force = next(words for words in offered(said) if "force" in words)
    assert force[force.index("--keys") + 1] == "3,4"
    assert "not even by force" in said.out
    assert "YOU is the word to fill in" in said.out
    named = cli("show", "last", ACTION_LEDGER_ACTOR="user:9")
    assert "YOU" not in named.out
    forced = paste(cli, force, "--yes")
    assert forced.code == 0, forced.err
    left = cli("undo", "last", *BY)
    assert "1 is no longer in the table" in left.out
    assert not [words for words in offered(left) if "force" in words]


def test_partial_undos_are_all_offered_and_counted(cli: CommandLine) -> None:
    execution = cli(*UPDATE).json["id"]
    parts = [cli("undo", "last", *BY, "--keys", key, "--json").json["id"] for key in (1, 2, 3)]
    shown = offered(cli("show", execution))
    assert [words[:2] for words in shown] == [
        *(["redo", part] for part in parts),
        ["undo", execution],
    ]
    assert cli("executions", "--json").json[0]["undone"] == 3
    assert "100 of 100, 3 undone" in cli("executions").out
    assert cli("redo", "last", *BY).code == 0
    assert cli("executions", "--json").json[0]["undone"] == 2
    assert [words[1] for words in offered(cli("show", "last"))][:2] == parts[:2]


def test_an_undo_at_work_is_not_redone(cli: CommandLine) -> None:
    execution = cli(*UPDATE).json["id"]
    undo = cli("undo", execution, *BY, "--submit", "--json").json["id"]
    for id_ in (undo, execution, "last"):
        refused = cli("redo", id_, *BY)
        assert (refused.code, refused.error) == (3, "undo_in_progress"), refused.err
        assert "No worker is there for it" in refused.err
        assert "  action-ledger worker --until-idle" in refused.err
    told = json.loads(cli("undo", execution, *BY, "--json").err)
    assert (told["code"], "worker --until-idle" in told["message"]) == ("undo_in_progress", True)
    for id_ in (undo, execution):
        words = {words[0] for words in offered(cli("show", id_))}
        assert words <= {"worker", "watch"}
    assert cli("worker", "--until-idle").code == 0
    assert cli("redo", undo, *BY).code == 0


def test_what_runs_is_cancelled_before_it_is_undone(cli: CommandLine) -> None:
    execution = cli(*UPDATE, "--submit").json["id"]
    refused = cli("undo", execution, *BY)
    assert (refused.code, refused.error) == (3, "execution_not_ended")
    assert "action-ledger cancel" in refused.err
    assert "  action-ledger worker --until-idle" in refused.err
    shown = cli("show", execution)
    assert "none planned yet" in shown.out
    cancel = next(words for words in offered(shown) if words[0] == "cancel")
    assert paste(cli, cancel).code == 0
    assert cli("undo", execution, *BY).error == "nothing_to_undo"


def test_nothing_to_undo_says_why(cli: CommandLine) -> None:
    execution = cli(*UPDATE).json["id"]
    reasons = {
        ("undo", execution, "--keys", "999"): "none of the records that were named",
        ("undo", execution, "--batch", "7"): "nothing in the batches that were named (7)",
        ("redo", execution): "it was never undone",
    }
    for words, reason in reasons.items():
        said = cli(*words, *BY)
        assert (said.code, said.error) == (3, "nothing_to_undo")
        assert reason in said.err


def test_a_later_execution_is_named(cli: CommandLine, connection: Connection[DictRow]) -> None:
    first = cli(*UPDATE).json["id"]
    later = ("run", "places", "update", "--keys", "1,2", "--set", "note=later", "--json")
    second = cli(*later, "--by", "user:7").json["id"]
    connection.execute("UPDATE places SET note = 'mine' WHERE id = 3")
    said = cli("undo", first, *BY)
    assert f"Written since by execution {second}, update by user:7: 1,2" in said.out


def test_a_renamed_column_is_a_refusal(cli: CommandLine, connection: Connection[DictRow]) -> None:
    cli(*UPDATE)
    connection.execute("ALTER TABLE places RENAME note TO remark")
    said = cli("undo", "last", *BY)
    assert (said.code, said.error) == (3, "schema_drift")


def test_keys_that_are_not_there_are_not_a_success(cli: CommandLine) -> None:
    run = ("run", "places", "update", "--set", "note=new", *BY)
    said = cli(*run, "--keys", "999")
    assert said.code == 1
    assert "1 is not in the table: its key was mistyped" in said.out
    assert cli(*run, "--keys", "1,999").code == 1
    assert cli(*run, "--keys", "1").code == 0
