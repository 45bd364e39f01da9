"""The command line shows what was done, keeps the store, and turns every error into one line and a code."""

import json
import re
import subprocess
import sys

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops.migrations import read_migrations
from tests.command_line import CommandLine

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
BY = ("--by", "user:42")
UPDATE = ("run", "places", "update", "--set", "note=new")


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


def test_executions_are_one_line_each_with_whole_ids_in_a_pipe(cli: CommandLine) -> None:
    assert "Nothing was done yet" in cli("executions").out
    for key in (1, 2, 3):
        assert cli(*UPDATE, "--keys", key, *BY).code == 0
    head, *lines = cli("executions").out.splitlines()
    assert head.startswith("ID ")
    assert len(lines) == 3
    assert all(re.match(rf"{UUID}  completed ", line) for line in lines)
    assert len(cli("executions", "-n", 2, "--actor", "user:42", "--json").json) == 2
    assert cli("executions", "--actor", "nobody", "--json").json == []


def test_an_id_may_be_cut_at_either_end(cli: CommandLine) -> None:
    ids = [str(cli(*UPDATE, "--keys", key, *BY, "--json").json["id"]) for key in range(1, 21)]
    assert cli("show", ids[3], "--json").json["id"] == ids[3]
    assert cli("show", ids[3][-12:].upper(), "--json").json["id"] == ids[3]
    assert cli("show", ids[3][:30], "--json").json["id"] == ids[3]
    assert cli("show", "last", "--json").json["id"] == ids[-1]
    several = cli("show", ids[3][:4])
    assert (several.code, several.error) == (2, "ambiguous_id")
    for none in ("ffffffff", "nonsense", "%", ""):
        assert (cli("show", none).code, cli("show", none).error) == (3, "execution_not_found")


def test_show_says_who_why_what_and_which(cli: CommandLine) -> None:
    cli("run", "places", "archive", "--where", "country in (FR, DE)", "--where", "score < 5",
        *BY, "--reason", "TICKET-4711", "--yes")  # fmt: skip
    said = cli("show", "last").out
    for part in ("country in (FR, DE) and score < 5", "user:42", "TICKET-4711", "4 archived"):
        assert part in said
    shown = cli("show", "last", "--json").json
    assert (shown["applied"], shown["reason"], shown["reversible"]) == (4, "TICKET-4711", True)


def test_audit_and_history_tell_the_whole_story(cli: CommandLine) -> None:
    cli(*UPDATE, "--keys", "1,2", *BY, "--reason", "first")
    cli("undo", "last", "--by", "user:7")
    topics = [entry["topic"] for entry in cli("audit", "last", "--json").json]
    assert topics[0] == "execution.requested"
    assert topics[-2:] == ["undo.completed", "record_lock.released"]
    assert "undo.completed" in cli("audit").out
    actors = {entry["actor"] for entry in cli("audit", "--actor", "user:7", "--json").json}
    assert actors == {"user:7"}
    history = cli("history", "places", 1, "--json").json
    assert [(one["direction"], one["actor"]) for one in history] == [
        ("do", "user:42"), ("undo", "user:7"),
    ]  # fmt: skip
    assert "note: null → new" in cli("history", "places", 1).out
    assert "changed nothing" in cli("history", "places", 99).out


def test_values_of_records_cannot_write_to_the_terminal(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    cli(*UPDATE, "--keys", 1, *BY)
    connection.execute("UPDATE places SET note = E'\\x1b[2Jgone\\u202e' WHERE id = 1")
    said = cli("undo", "last", *BY)
    assert "\x1b" not in said.out
    assert "\\x1b[2Jgone\\u202e" in said.out


def test_projections(cli: CommandLine, connection: Connection[DictRow]) -> None:
    cli(*UPDATE, "--all", *BY)
    status = {one["name"]: one for one in cli("projections", "status", "--json").json}
    assert status["progress"]["inline"]
    assert "follows" in cli("projections", "status").out
    assert cli("projections", "rebuild", "progress", "--json").json[0]["name"] == "progress"
    assert all(one["equal"] for one in cli("projections", "verify", "--json").json)
    table = connection.execute(
        "SELECT 'action_ledger.view_executions_g' || generation AS name"
        " FROM action_ledger.projections WHERE name = 'progress'"
    ).fetchone()
    assert table is not None
    connection.execute(f"UPDATE {table['name']} SET applied = 7".encode())
    said = cli("projections", "verify")
    assert said.code == 1
    assert "differs" in said.out
    unknown = cli("projections", "rebuild", "nonsense")
    assert (unknown.code, unknown.error) == (2, "unknown_projection")


def test_migrate_and_rollback(empty_database_url: str) -> None:
    cli = CommandLine(empty_database_url)
    missing = cli("executions")
    assert (missing.code, missing.error) == (4, "store_not_migrated")
    assert "action-ledger migrate" in missing.err
    assert "applied 0001_store" in cli("migrate").out
    assert cli("migrate", "--json").json["applied"] == []
    assert cli("rollback").code == 5
    assert cli("executions").code == 0
    for step in reversed(read_migrations()):
        assert f"rolled back {step.version:04}_{step.name}" in cli("rollback", "--yes").out
        assert cli("executions").code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("run", "nowhere", "update", "--all", "--set", "a=1"), 2, "unknown_table"),
        (("run", "places", "update", "--all", "--set", "nonsense=1"), 2, "unknown_column"),
        (("run", "places", "update", "--all", "--set", "score=many"), 2, "invalid_value"),
        (("run", "places", "update", "--all", "--set", "score"), 2, "invalid_parameters"),
        (("run", "places", "update", "--all"), 2, "invalid_parameters"),
        (("run", "places", "update", "--set", "score=1"), 2, "selection_missing"),
        (("run", "places", "explode", "--all"), 2, "unknown_action"),
        ((*UPDATE, "--where", "country is FR"), 2, "invalid_condition"),
        ((*UPDATE, "--all", "--keys", "1"), 2, "selection_twice"),
        ((*UPDATE, "--keys-file", "/nowhere/at/all"), 2, "unreadable_input"),
        ((*UPDATE, "--where-json", '{"kind": "nonsense"}'), 2, "unreadable_input"),
        ((*UPDATE, "--all", "--params-json", "[1"), 2, "unreadable_input"),
        ((*UPDATE, "--all", "--undo-days", "5", "--irreversible"), 2, "invalid_parameters"),
        ((*UPDATE, "--all", "--undo-days", "365"), 2, "invalid_parameters"),
        (("run", "places", "archive", "--all", "--set", "score=1"), 2, "invalid_parameters"),
        ((*UPDATE, "--all", "--queue", ""), 2, "invalid_parameters"),
        ((*UPDATE, "--all", "--queue", "a\x01b"), 2, "invalid_parameters"),
        ((*UPDATE, "--all", "--batch-size", "x"), 2, "invalid_usage"),
        ((*UPDATE, "--all", "--workers", "900"), 2, "invalid_usage"),
        ((*UPDATE, "--all", "--nonsense"), 2, "invalid_usage"),
        (("frobnicate",), 2, "invalid_usage"),
        (("undo", "last"), 3, "execution_not_found"),
    ],
)
def test_errors_are_one_line_and_write_nothing(
    cli: CommandLine, arguments: tuple[str, ...], code: int, error: str
) -> None:
    said = cli(*arguments, *BY)
    assert (said.code, said.error, said.out) == (code, error, "")
    assert said.err.count("\n") == 1
    as_json = cli(*arguments, *BY, "--json")
    assert (as_json.code, json.loads(as_json.err)["code"]) == (code, error)
    assert cli("executions", "--json").json == []


def test_a_bad_line_of_a_file_of_keys_writes_nothing(cli: CommandLine) -> None:
    said = cli(*UPDATE, "--keys-file", "-", *BY, stdin="1\n2\n[3\n")
    assert (said.code, said.error) == (2, "unreadable_input")
    assert "line 3 of the standard input" in said.err
    assert cli("executions", "--json").json == []


def test_a_store_out_of_reach_and_a_wrong_setting(cli: CommandLine) -> None:
    away = cli(
        "--database-url", "postgresql://nobody:s3cret@127.0.0.1:1/none", "executions",
        ACTION_LEDGER_POOL_TIMEOUT_SECONDS="1",
    )  # fmt: skip
    assert (away.code, away.error) == (4, "store_unavailable")
    assert "s3cret" not in away.err
    wrong = cli("executions", ACTION_LEDGER_BATCH_SIZE="many")
    assert (wrong.code, wrong.error) == (2, "invalid_setting")
    assert "ACTION_LEDGER_BATCH_SIZE" in wrong.err


def test_help_is_there_at_once() -> None:
    program = (
        "import sys\n"
        "from action_ledger.ops.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    code = end.code\n"
        "slow = {'psycopg', 'eventsourcing', 'opentelemetry', 'rich'} & set(sys.modules)\n"
        "sys.exit(code or (f'imported {sorted(slow)}' if slow else 0))\n"
    )
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        said = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
        )
        assert (said.returncode, said.stderr) == (0, "")
