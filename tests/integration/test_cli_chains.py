"""Chains and hooks on the command line: run from a file, listed, shown, steered and taken back."""

import json
import re
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
from tests.chains import RECORDS, TABLES, added, break_third, make_tables, three
from tests.command_line import CommandLine, Said
from tests.integration.test_cli_ways_back import offered, paste

BY = ("--by", "user:42")
STEPS = [
    {
        "execution": {
            "resource": {"table": table},
            "action": "update",
            "parameters": {
                "values": {
                    "score": {
                        "kind": "arithmetic",
                        "op": "add",
                        "left": {"kind": "column", "name": "score"},
                        "right": {"kind": "value", "value": 1, "type": "integer"},
                    }
                }
            },
            "selection": {"kind": "everything"},
        }
    }
    for table in TABLES
]


@pytest.fixture
def cli(database_url: str, connection: Connection[DictRow]) -> CommandLine:
    make_tables(connection)
    return CommandLine(database_url)


def run(cli: CommandLine, *options: object) -> Said:
    return cli("chain", json.dumps({"steps": STEPS}), *BY, *options)


def test_run_list_show_undo(
    cli: CommandLine, connection: Connection[DictRow], tmp_path: Path
) -> None:
    file = tmp_path / "steps.json"
    file.write_text(json.dumps({"steps": STEPS}))
    said = cli("chain", file, *BY, "--reason", "T-1")
    assert (said.code, said.err) == (0, "")
    assert "completed" in said.out
    assert "3 of 3" in said.out
    (listed,) = cli("chains", "list", "--json").json
    assert (listed["status"], listed["actor"]) == ("completed", "user:42")
    shown = cli("chains", "show", listed["id"][-6:], "--json").json
    assert [step["applied"] for step in shown["step_list"]] == [RECORDS] * 3
    assert shown["reason"] == "T-1"
    assert f"{RECORDS} of {RECORDS}" in cli("chains", "show").out
    assert listed["id"] in cli("chains", "list").out
    said = cli("chains", "undo", "last", *BY, "--json")
    assert (said.code, said.json["status"]) == (0, "compensated")
    assert added(connection) == [[0], [0], [0]]
    assert cli("chains", "undo", "last", *BY).error == "chain_closed"


def test_one_that_fails_says_so(cli: CommandLine, connection: Connection[DictRow]) -> None:
    break_third(connection)
    said = run(cli)
    assert said.code == 1
    assert "compensated" in said.out
    assert "step_failed" not in said.out
    assert re.search(r"error +step 3, update of public.third: .*23514", said.out)
    (see,) = offered(said)
    assert (see[0], paste(cli, see).code) == ("show", 0)
    assert added(connection) == [[0], [0], [0]]


def test_one_that_failed_offers_its_way_back_in_its_context(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    cli.environment["ACTION_LEDGER_CONTEXT_SETTINGS"] = '["app.*"]'
    context = {"settings": {"app.tenant_id": "7"}}
    steps = [
        {"execution": {**step["execution"], "context": context}, "on_failure": "stop"}
        for step in STEPS
    ]
    break_third(connection)
    said = cli("chain", json.dumps({"steps": steps}), *BY)
    chain = cli("chains", "show", "--json").json
    assert (said.code, chain["status"], added(connection)) == (1, "failed", [[1], [1], [0]])
    see, back = offered(said)
    assert see[0] == "show"
    assert back[:3] == ["chains", "undo", chain["id"]]
    assert back[3:5] == ["--context", "app.tenant_id=7"]
    undone = paste(cli, back)
    assert "compensated" in undone.out
    assert added(connection) == [[0], [0], [0]]
    assert "undo" not in {words[1] for words in offered(undone)}


def test_a_step_whose_records_failed_says_the_first(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    connection.execute("ALTER TABLE third ADD CONSTRAINT no_five CHECK (id <> 5 OR score <= id)")
    said = run(cli)
    assert re.search(r"error +step 3, .*1 record failed, the first with 23514: .*no_five", said.out)
    assert cli("chains", "show", "last", "--json").json["error"] == "step_failed"


def test_submit_pause_resume_cancel(cli: CommandLine) -> None:
    said = run(cli, "--submit", "--json")
    assert (said.code, said.json["status"]) == (0, "running")
    assert "is paused" in cli("chains", "pause", "last", *BY).out
    assert cli("chains", "resume", "last", *BY, "--json").json["status"] == "running"
    assert cli("chains", "cancel", "last", *BY, "--json").json["status"] == "cancelled"
    said = cli("chains", "resume", "last", *BY)
    assert (said.code, said.error) == (3, "chain_closed")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("[]", "invalid_chain"),
        ("{}", "invalid_chain"),
        ('{"steps": [1]}', "invalid_chain"),
        ('{"steps": []}', "invalid_chain"),
        ('{"steps": [{"execution": {"action": "update"}}]}', "invalid_chain"),
        ("{", "unreadable_input"),
        ("no-such-file.json", "unreadable_input"),
    ],
)
def test_what_cannot_be_read(cli: CommandLine, given: str, error: str) -> None:
    said = cli("chain", given, *BY)
    assert (said.code, said.error) == (2, error)
    assert cli("chains", "list", "--json").json == []


def test_what_destroys_wants_a_yes_and_everything_an_actor(cli: CommandLine) -> None:
    step = {"resource": {"table": "first"}, "action": "delete", "parameters": {"hard": True}}
    steps = json.dumps({"steps": [{"execution": {**step, "selection": {"kind": "everything"}}}]})
    assert cli("chain", steps, *BY).error == "confirmation_required"
    assert cli("chain", steps, "--yes").error == "actor_missing"
    assert cli("chain", steps, *BY, "--yes").code == 0


def test_none(cli: CommandLine) -> None:
    assert "There is no chain" in cli("chains", "list").out
    assert cli("chains", "show").error == "chain_not_found"
    assert "Nothing is to be told" in cli("hooks", "list").out
    assert "No hook has failed" in cli("hooks", "retry").out


def test_hooks(cli: CommandLine, database_url: str) -> None:
    def fail(_: object) -> None:
        message = "out of reach"
        raise OSError(message)

    with open_ledger(database_url, hooks={"told": fail}) as ledger:
        three(ledger).notify(complete="other").run()
        chain = three(ledger).notify(complete="told").run()
    (other, told) = cli("hooks", "list", "--json").json
    assert (told["hook"], told["job_id"], told["attempts"]) == ("told", str(chain.id), 1)
    assert (other["hook"], other["attempts"], other["known"]) == ("other", 0, False)
    said = cli("hooks", "list").out
    assert "tried 1 time: OSError: out of reach" in said
    assert "waits for a worker whose program knows the hook" in said
    assert len(cli("hooks", "list", "--failed", "--json").json) == 1
    assert cli("hooks", "retry", "told", "--json").json == {"retried": 1}
