"""The command line changes records, previews and takes back; exit codes, JSON, and what people read."""

import json
import re
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.command_line import CommandLine

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
BY = ("--by", "user:42")


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


def count(connection: Connection[DictRow], condition: str) -> int:
    statement = f"SELECT count(*) AS n FROM places WHERE {condition}"
    row = connection.execute(statement.encode()).fetchone()
    return int(row["n"]) if row else -1


def update(cli: CommandLine, *options: object) -> str:
    said = cli("run", "places", "update", "--set", "note=new", *BY, "--json", *options)
    assert said.code == 0, said.err
    return str(said.json["id"])


def test_run_says_what_was_done_and_how_to_undo_it(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    said = cli(
        "run", "places", "update", "--where", "country = FR", "--where", "score <= 50",
        "--set", "note=new", "--set", "name=x=y", *BY, "--reason", "TICKET-4711",
    )  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert "25 records: 25 updated" in said.out
    assert re.search(rf"action-ledger undo {UUID}", said.out)
    assert count(connection, "note = 'new' AND name = 'x=y'") == 25


def test_null_and_empty_are_two_things(cli: CommandLine, connection: Connection[DictRow]) -> None:
    assert cli("run", "places", "update", "--all", "--set", "note=", *BY).code == 0
    assert count(connection, "note = ''") == 100
    assert cli("run", "places", "update", "--all", "--set-null", "note", *BY).code == 0
    assert count(connection, "note IS NULL") == 100


def test_json_for_what_conditions_and_set_cannot_say(
    cli: CommandLine, connection: Connection[DictRow], tmp_path: Path
) -> None:
    either = {
        "kind": "or",
        "terms": [
            {"kind": "comparison", "column": "score", "op": "lt", "value": 11},
            {"kind": "comparison", "column": "score", "op": "gt", "value": 90},
        ],
    }
    plus = {
        "kind": "arithmetic",
        "op": "add",
        "left": {"kind": "column", "name": "score"},
        "right": {"kind": "value", "value": 1000, "type": "integer"},
    }
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps({"values": {"score": plus}}))
    said = cli(
        "run", "places", "update", "--where-json", "-", "--where", "country = FR",
        "--params-json", file, *BY, stdin=json.dumps(either),
    )  # fmt: skip
    assert said.code == 0, said.err
    assert count(connection, "score > 1000") == 10


def test_keys_from_an_argument_a_file_and_a_pipe(
    cli: CommandLine, connection: Connection[DictRow], tmp_path: Path
) -> None:
    update(cli, "--keys", "1, 2,3")
    file = tmp_path / "keys.txt"
    file.write_text("11\n\n12\n")
    update(cli, "--keys-file", file)
    update(cli, "--keys-file", "-", "--workers", 2)
    said = cli(
        "run", "places", "update", "--set", "note=new", *BY, "--keys-file", "-", stdin="21\n22\n"
    )
    assert said.code == 0
    assert count(connection, "note = 'new' AND id IN (1, 2, 3, 11, 12, 21, 22)") == 7
    assert count(connection, "note = 'new'") == 7


def test_no_keys_select_nothing(cli: CommandLine, connection: Connection[DictRow]) -> None:
    said = cli("run", "places", "update", "--keys", "[]", "--set", "note=new", *BY)
    assert (said.code, count(connection, "note = 'new'")) == (0, 0)
    assert "nothing to do" in said.out


@pytest.mark.parametrize("keys", ["", "  ", ",", " , "])
def test_keys_of_an_empty_variable_are_refused_and_leave_last_as_it_was(
    cli: CommandLine, keys: str
) -> None:
    update(cli, "--keys", "1")
    last = cli("show", "last", "--json").json["id"]
    for command in (
        ("run", "places", "update", "--set", "note=new"),
        ("preview", "places", "update", "--set", "note=new"),
        ("undo", "last"),
    ):
        said = cli(*command, "--keys", keys, *BY)
        assert (said.code, said.error) == (2, "unreadable_input")
        assert "'[]' says no record at all" in said.err
    assert cli("executions", "--json").json[0]["id"] == last
    assert cli("show", last, "--json").json["undos"] == []


def test_keys_of_several_columns(cli: CommandLine, connection: Connection[DictRow]) -> None:
    connection.execute("CREATE TABLE pair (a int, b text, note text, PRIMARY KEY (a, b))")
    connection.execute(
        "INSERT INTO pair VALUES (1, 'x,y', 'old'), (2, 'z', 'old'), (3, 'w', 'old')"
    )
    run = ("run", "pair", "update", "--set", "note=new", *BY)
    assert cli(*run, "--keys", '[[1, "x,y"]]').code == 0
    assert cli(*run, "--keys-file", "-", stdin='[2, "z"]\n').code == 0
    rows = connection.execute("SELECT a, note FROM pair ORDER BY a").fetchall()
    assert [row["note"] for row in rows] == ["new", "new", "old"]
    history = cli("history", "pair", '[1, "x,y"]', "--json").json
    assert [entry["after"]["note"] for entry in history] == ["new"]


def test_what_destroys_has_to_be_confirmed(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    for action in (("archive",), ("delete",), ("delete", "--hard")):
        said = cli("run", "places", *action, "--where", "country = FR", *BY)
        assert (said.code, said.error, said.out) == (5, "confirmation_required", "")
    assert count(connection, "archived_at IS NULL AND deleted_at IS NULL") == 100
    assert cli("executions", "--json").json == []
    archive = ("run", "places", "archive", "--where", "country = FR", *BY)
    assert cli(*archive, "--yes", "--reason", "small").code == 0
    assert count(connection, "archived_at IS NOT NULL AND archive_reason = 'small'") == 50
    assert cli("run", "places", "restore", "--all", "--mark", "archived", *BY).code == 0
    assert count(connection, "archived_at IS NULL AND archive_reason IS NULL") == 100


def test_preview_counts_and_writes_nothing(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    said = cli("preview", "places", "delete", "--hard", "--where", "country = FR", "-n", 3, *BY)
    assert said.code == 0
    assert "would change 50 records in 1 batch" in said.out
    assert "place 2 " in said.out
    found = cli(
        "preview", "places", "delete", "--where", "country = FR", "-n", 3, *BY, "--json"
    ).json
    assert (found["count"], [row["id"] for row in found["sample"]]) == (50, ["2", "4", "6"])
    assert count(connection, "deleted_at IS NULL") == 100
    assert cli("executions", "--json").json == []


def test_records_that_fail_are_listed_and_give_exit_code_1(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    connection.execute("ALTER TABLE places ADD CHECK (id <> 7 OR note IS DISTINCT FROM 'new')")
    said = cli("run", "places", "update", "--all", "--set", "note=new", *BY)
    assert said.code == 1
    assert "99 updated, 1 failed" in said.out
    assert re.search(r"^7 .*23514", said.out, re.MULTILINE)
    shown = cli("show", "last", "--json").json
    assert [failure["key"] for failure in shown["failures"]] == [["7"]]


def test_undo_lists_conflicts_with_both_values(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    update(cli, "--all")
    connection.execute("UPDATE places SET note = 'by hand' WHERE id = 5")
    connection.execute("DELETE FROM places WHERE id = 6")
    refused = cli("undo", "last", *BY, "--on-conflict", "fail")
    assert (refused.code, refused.error) == (3, "undo_conflicts")
    assert cli("undo", "last", *BY, "--on-conflict", "force").code == 5
    said = cli("undo", "last", *BY)
    assert said.code == 1
    assert "98 restored, 2 left as they are" in said.out
    assert re.search(r"^5 +note +new +by hand", said.out, re.MULTILINE)
    assert re.search(r"^6 .*its row is gone", said.out, re.MULTILINE)
    assert count(connection, "note IS NULL") == 98
    forced = cli("undo", "last", *BY, "--on-conflict", "force", "--keys", "5", "--yes", "--json")
    assert (forced.code, forced.json["applied"]) == (0, 1)
    assert count(connection, "note IS NULL") == 99


def test_undo_in_part_then_the_rest_then_redo(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    execution = update(cli, "--all", "--batch-size", 40)
    assert cli("undo", execution, *BY, "--batch", 1).code == 0
    assert count(connection, "note IS NULL") == 40
    assert cli("undo", execution, *BY, "--keys", "50,51").code == 0
    assert count(connection, "note IS NULL") == 42
    assert cli("undo", execution, *BY).code == 0
    assert count(connection, "note IS NULL") == 100
    again = cli("undo", execution, *BY)
    assert (again.code, again.error) == (3, "already_undone")
    assert cli("redo", execution, *BY).code == 0
    assert count(connection, "note = 'new'") == 58
    assert [undo["kind"] for undo in cli("show", execution, "--json").json["undos"]] == [
        "undo", "undo", "undo", "redo",
    ]  # fmt: skip


def test_an_undo_is_redone_not_undone(cli: CommandLine) -> None:
    update(cli, "--all")
    undo = cli("undo", "last", *BY, "--json").json["id"]
    said = cli("undo", undo, *BY)
    assert (said.code, said.error) == (2, "invalid_parameters")
    assert f"action-ledger redo {undo}" in said.err
    assert cli("redo", "last", *BY).code == 0
    assert cli("show", undo, "--json").json["kind"] == "undo"


def test_the_actor_may_come_from_the_environment(cli: CommandLine) -> None:
    run = ("run", "places", "update", "--all", "--set", "note=new")
    assert cli(*run).error == "actor_missing"
    assert cli(*run, ACTION_LEDGER_ACTOR="cron:nightly").code == 0
    assert cli("executions", "--json").json[0]["actor"] == "cron:nightly"
