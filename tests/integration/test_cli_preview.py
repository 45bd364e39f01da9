"""`action-ledger preview`, and how `run` is confirmed: by a token, by somebody who types the action's name, by --yes."""

from collections.abc import Iterator
from datetime import datetime

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops.cli_terminal import Terminal
from tests.command_line import CommandLine

BY = ("--by", "user:1")
ARCHIVE = ("places", "archive", "--where", "country = FR", "--reason", "old", *BY)


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody at a terminal types, one answer after the other."""
    typed: list[str] = []

    def answer() -> Iterator[str]:
        while typed:
            yield typed.pop(0)

    monkeypatch.setattr(Terminal, "can_ask", lambda _: True)
    monkeypatch.setattr("builtins.input", lambda: next(answer()))
    return typed


def archived(connection: Connection[DictRow]) -> int:
    (row,) = connection.execute(
        "SELECT count(*) AS n FROM places WHERE archived_at IS NOT NULL"
    ).fetchall()
    return int(row["n"])


def test_the_card(cli: CommandLine, connection: Connection[DictRow]) -> None:
    connection.execute(
        "ALTER TABLE places ADD CONSTRAINT not_this CHECK (id <> 6 OR archived_at IS NULL)"
    )
    said = cli("preview", *ARCHIVE, "-n", 3)
    assert said.code == 0, said.err
    for line in (
        "archive of public.places would change 50 records in 1 batch.",
        "all of them",
        "49 archived, 1 failed",
        "possible until about",
        "What would change, for example",
        "Would fail (1)",
        "23514",
        "not_this",
        "Everything was rolled back: no record was changed.",
    ):
        assert line in said.out, line
    sample = cli("preview", *ARCHIVE, "--records", 5)
    assert "5 of 50" in sample.out
    assert "the numbers are those of a sample" in sample.out
    assert archived(connection) == 0


def test_json_has_all_of_it_and_no_secret(cli: CommandLine) -> None:
    found = cli("preview", *ARCHIVE, "-n", 2, "--json").json
    assert found["token"] == f"{found['id']}.{found['plan_hash'][:16]}"
    assert (found["count"], found["tried"], found["exact"]) == (50, 50, True)
    assert found["tally"] == {"applied": 50, "failed": 0, "skipped": 0}
    assert [change["key"] for change in found["changes"]] == [["2"], ["4"]]
    assert found["changes"][0]["after"]["archive_reason"] == "old"
    assert datetime.fromisoformat(found["undo_until"]) > datetime.fromisoformat(found["expires_at"])


def test_a_preview_has_an_actor(cli: CommandLine) -> None:
    said = cli("preview", "places", "archive", "--all")
    assert (said.code, said.error) == (2, "actor_missing")


def test_a_script_confirms_with_a_token(cli: CommandLine, connection: Connection[DictRow]) -> None:
    said = cli("run", *ARCHIVE)
    assert (said.code, said.error, said.out) == (5, "confirmation_required", "")
    assert "--confirm TOKEN" in said.err
    found = cli("preview", *ARCHIVE, "--json").json
    wrong = cli("run", *ARCHIVE, "--hard", "--confirm", found["token"])
    assert wrong.code == 2
    other = cli(
        "run", "places", "delete", "--where", "country = FR", *BY, "--confirm", found["token"]
    )
    assert (other.code, other.error) == (5, "confirmation_invalid")
    assert cli("run", *ARCHIVE, "--confirm", "x").error == "confirmation_invalid"
    assert archived(connection) == 0
    done = cli("run", *ARCHIVE, "--confirm", found["token"], "--json")
    assert (done.code, done.json["applied"], archived(connection)) == (0, 50, 50)
    assert cli("run", *ARCHIVE, "--confirm", found["token"]).error == "confirmation_invalid"
    shown = cli("show", "last")
    assert f"by preview {found['id']}" in shown.out
    assert cli("show", "last", "--json").json["preview_id"] == found["id"]
    assert f"confirmed by preview {found['id']}" in cli("audit", "last").out


def test_drift_has_an_exit_code_and_a_message(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    token = cli("preview", *ARCHIVE, "--json").json["token"]
    connection.execute("DELETE FROM places WHERE id = 2")
    for submit in ((), ("--submit",)):
        said = cli("run", *ARCHIVE, "--confirm", token, *submit)
        assert (said.code, said.error) == (5, "selection_drifted")
        assert "found 50; now there are 49" in said.err
    assert archived(connection) == 0


def test_above_1000_records_the_actions_name_must_be_typed(
    cli: CommandLine, connection: Connection[DictRow], answers: list[str]
) -> None:
    connection.execute(
        "INSERT INTO places (id, name, country, score) SELECT i, 'x', 'ES', i FROM generate_series(101, 1101) i"
    )
    update = ("run", "places", "update", "--set", "note=new", *BY, "--where")
    assert cli(*update, "id > 101").code == 0, "1,000 are not above it"
    for wrong in ("", "y", "yes", "Update", "updat"):
        answers[:] = [wrong]
        assert cli(*update, "id > 100").code == 5
    answers[:] = ["update"]
    said = cli(*update, "id > 100")
    assert said.code == 0
    assert "Update 1,001 records of public.places? Type update to go on:" in said.err
    assert "would change 1,001 records" in said.out
    assert cli("show", "last", "--json").json["preview_id"]


def test_on_a_terminal_what_destroys_is_previewed_and_typed(
    cli: CommandLine, connection: Connection[DictRow], answers: list[str]
) -> None:
    answers[:] = ["no"]
    said = cli("run", *ARCHIVE)
    assert (said.code, archived(connection)) == (5, 0)
    assert "Nothing was changed." in said.err
    answers[:] = ["archive"]
    said = cli("run", *ARCHIVE, "--submit")
    assert said.code == 0
    assert "What would change, for example" in said.out
    assert cli("worker", "--until-idle").code == 0
    assert archived(connection) == 50
    answers[:] = ["x"]
    assert cli("run", "places", "update", "--all", "--set", "note=new", *BY).code == 5
    assert cli("run", "places", "archive", "--where", "id < 0", *BY).code == 0, (
        "nothing to ask about"
    )


def test_yes_does_without_the_command_lines_own_rule_only(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    strict = {"ACTION_LEDGER_CONFIRM": "destructive"}
    said = cli("run", *ARCHIVE, "--yes", **strict)
    assert (said.code, said.error, archived(connection)) == (5, "confirmation_required", 0)
    assert cli("run", *ARCHIVE, "--yes").code == 0
    assert archived(connection) == 50
    off = {"ACTION_LEDGER_CLI_CONFIRM": "never", "ACTION_LEDGER_CLI_CONFIRM_ABOVE": "3"}
    assert cli("run", "places", "delete", "--keys", "1,2,3", *BY, **off).code == 0
    assert cli("run", "places", "delete", "--keys", "4,5,6,7", *BY, **off).code == 5
