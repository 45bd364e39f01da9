"""The command line lists locks, breaks them, and says what a run does about those of others."""

import pytest

from action_ledger.ops import ExecutionHandle, Ledger
from tests.command_line import CommandLine
from tests.locking import add_one, planned

BY = ("--by", "user:42")
SET = ("run", "places", "update", "--set", "note=x", "--where", "id > 25", *BY)


@pytest.fixture
def cli(database_url: str) -> CommandLine:
    return CommandLine(database_url)


@pytest.fixture
def first(ledger: Ledger, places: str) -> ExecutionHandle:
    """An execution that has the records 1 to 30 of ``places``."""
    assert places.endswith("places")
    return planned(ledger, add_one(ledger, 1, 30))


def test_list_and_break(cli: CommandLine, ledger: Ledger, first: ExecutionHandle) -> None:
    waiting = planned(ledger, add_one(ledger, 21, 40).on_locked("wait"))
    held, awaited = cli("locks", "--json").json
    assert (held["execution_id"], held["records"], held["status"]) == (str(first.id), 30, "held")
    assert (awaited["status"], awaited["waits_for"]) == ("waiting", [str(first.id)])
    listed = cli("locks")
    assert listed.code == 0
    assert str(first.id) in listed.out
    assert str(first.id) in cli("show", waiting.id).out.partition("waits for")[2]
    refused = cli("locks", "break", waiting.id, *BY)
    assert (refused.code, refused.error) == (3, "lock_not_held")
    broken = cli("locks", "break", first.id, *BY, "--reason", "it hangs", "--json").json
    assert (broken["status"], broken["error"]) == ("failed", "lock_broken")
    waiting.finish()
    assert cli("locks").out == "No records are locked.\n"
    assert cli("locks", "--json").json == []


def test_what_a_run_does(cli: CommandLine, first: ExecutionHandle) -> None:
    refused = cli(*SET)
    assert (refused.code, refused.error) == (3, "records_locked")
    assert str(first.id) in refused.err
    left = cli(*SET, "--on-locked", "skip")
    assert left.code == 0
    assert "5 were locked by other executions or undos" in left.out
    waits = cli(*SET, "--on-locked", "wait", "--submit", "--json").json
    assert waits["status"] == "requested"
    wrong = cli(*SET, "--on-locked", "no")
    assert (wrong.code, wrong.error) == (2, "invalid_parameters")
