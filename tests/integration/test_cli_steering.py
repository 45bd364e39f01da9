"""The command line steers, watches, tries again, and lists what became of the records."""

import csv
import io
import json

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import ExecutionHandle, Ledger
from tests.command_line import CommandLine
from tests.integration.test_steering import submitted

BY = ("--by", "user:42")


@pytest.fixture
def cli(database_url: str) -> CommandLine:
    return CommandLine(database_url)


@pytest.fixture
def half(ledger: Ledger, places: str) -> ExecutionHandle:
    """An execution with three of its ten batches done."""
    execution = submitted(ledger, places)
    for _ in range(4):
        ledger.worker().step(execution.id)
    return execution


def test_pause_resume_cancel(cli: CommandLine, half: ExecutionHandle) -> None:
    said = cli("pause", half.id, *BY, "--reason", "load")
    assert said.code == 0
    assert "paused" in said.out
    assert f"action-ledger resume {half.id}" in said.out
    assert cli("resume", "last", *BY, "--json").json["status"] == "running"
    said = cli("cancel", half.id, *BY)
    assert "30 updated, 70 pending (not processed)" in said.out
    for counts in (
        cli("show", half.id, "--json").json,
        cli("show", half.id, "--json").json["progress"],
        cli("executions", "--json").json[0],
    ):
        assert (counts["pending"], counts["batches"], counts["batches_done"]) == (70, 10, 3)
    assert "10 batches" not in said.out  # seven of them were only closed
    assert f"action-ledger undo {half.id}" in said.out
    again = cli("pause", half.id, *BY)
    assert (again.code, again.error) == (3, "execution_ended")
    assert (cli("pause", half.id).code, cli("pause", half.id).error) == (2, "actor_missing")


def test_tune(cli: CommandLine, half: ExecutionHandle) -> None:
    said = cli("tune", half.id, "--rate", "250.5", "--concurrency", 2, "--priority", 5, *BY)
    assert said.code == 0, said.err
    row = half.row()
    assert (row["rate"], row["concurrency"], row["priority"]) == (250.5, 2, 5)
    limited = "at most 250.5 records a second, at most 2 batches at a time"
    assert limited in " ".join(said.out.split())
    assert limited in " ".join(cli("show", half.id).out.split())
    assert cli("tune", half.id, "--rate", "unlimited", *BY).code == 0
    assert half.row()["rate"] is None
    wrong = cli("tune", half.id, "--rate", "fast", *BY)
    assert (wrong.code, wrong.error) == (2, "invalid_parameters")


def test_watch_ends_with_what_is_watched(
    cli: CommandLine, ledger: Ledger, half: ExecutionHandle
) -> None:
    half.pause(by="user:1")
    said = cli("watch", half.id)
    assert (said.code, "paused" in said.out) == (1, True)
    half.resume(by="user:1")
    ledger.worker().finish(half.id)
    lines = cli("watch", half.id, "--json").out.splitlines()
    assert json.loads(lines[-1])["status"] == "completed"
    undo = half.undo(by="user:1").run()
    assert cli("watch", undo.id).code == 0


def test_retry(
    cli: CommandLine, ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    connection.execute("ALTER TABLE places ADD CONSTRAINT forbidden CHECK (score <> 1015)")
    ledger.on(places).all().update(score=col("score") + 1000).by("user:1").run()
    connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
    assert "action-ledger retry" in cli("show", "last").out
    first = cli("show", "last", "--json").json["id"]
    said = cli("retry", "last", *BY)
    assert (said.code, "1 record: 1 updated" in said.out) == (0, True)
    again = cli("show", "last", "--json").json["id"]
    shown = cli("show", first).out
    assert "What failed was tried again" in shown
    assert f"action-ledger show {again}" in shown
    assert "action-ledger retry" not in shown
    refused = cli("retry", first, *BY)
    assert (refused.code, refused.error) == (3, "already_retried")
    assert f"action-ledger undo {again}" in refused.err


def test_retry_of_what_was_not_processed(cli: CommandLine, half: ExecutionHandle) -> None:
    half.cancel(by="user:1")
    nothing = " ".join(cli("retry", half.id, *BY).out.split())
    assert "nothing to do" in nothing
    assert f"None had failed; 70 records of {half.id} were not processed. Do those:" in nothing
    assert f"action-ledger retry {half.id} --only-not-processed" in nothing
    said = cli("retry", half.id, "--only-not-processed", *BY, "--json")
    assert said.json["applied"] == 70
    assert "--only-not-processed" not in cli("show", half.id).out
    assert cli("retry", half.id, "--only-not-processed", *BY).error == "already_retried"
    undo = half.undo(by="user:1").run()
    wrong = cli("retry", undo.id, *BY)
    assert (wrong.code, wrong.error) == (2, "invalid_parameters")


def test_a_failure_policy(cli: CommandLine, places: str, connection: Connection[DictRow]) -> None:
    connection.execute(
        "ALTER TABLE places ADD CONSTRAINT forbidden CHECK (note IS NULL OR id <> 15)"
    )
    update = ("run", places, "update", "--all", "--set", "note=x", "--batch-size", 10, *BY)
    said = cli(*update, "--on-failure", "rollback", "--json")
    assert (said.code, said.json["status"]) == (1, "rolled_back")
    said = cli(*update, "--on-failure", "stop", "--max-failures", 1, "--json")
    assert said.json["status"] == "completed"
    said = cli(*update, "--on-failure", "explode")
    assert (said.code, said.error) == (2, "invalid_parameters")


class TestOutcomes:
    def test_each_kind(
        self, cli: CommandLine, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        connection.execute("ALTER TABLE places ADD CONSTRAINT forbidden CHECK (score <> 1015)")
        request = ledger.on(places).all().update(score=col("score") + 1000).by("user:1")
        execution = request.batch_size(20).submit()
        ledger.worker().step()
        connection.execute("DELETE FROM places WHERE id = 3")
        ledger.worker().step()
        execution.cancel(by="user:1")
        (failed,) = cli("outcomes", "last", "--format", "ndjson").out.splitlines()
        assert json.loads(failed)["key"] == ["15"]
        assert json.loads(failed)["constraint"] == "forbidden"
        skipped = cli("outcomes", "last", "--kind", "skipped", "-f", "csv").out
        (gone,) = csv.DictReader(io.StringIO(skipped))
        assert (gone["key"], gone["reason"]) == ("3", "vanished")
        left = cli("outcomes", "last", "-k", "not-processed", "-f", "csv").out
        rows = list(csv.DictReader(io.StringIO(left)))
        assert (len(rows), rows[0]["key"], rows[0]["reason"]) == (80, "21", "cancelled")
        done = cli("outcomes", "last", "-k", "applied", "-f", "ndjson", "-n", 2).out.splitlines()
        assert json.loads(done[1])["after"] == {"score": "1002"}
        assert "1,001" in cli("outcomes", "last", "-k", "applied").out.replace("1001", "1,001")

    def test_conflicts_of_an_undo(
        self, cli: CommandLine, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = ledger.on(places).keys([1, 2]).update(note="x").by("user:1").run()
        connection.execute("UPDATE places SET note = 'y' WHERE id = 2")
        undo = execution.undo(by="user:1").run()
        said = cli("outcomes", undo.id, "--kind", "conflict", "--format", "csv").out
        (row,) = csv.DictReader(io.StringIO(said))
        assert json.loads(row["recorded"]) == {"note": "x"}
        assert json.loads(row["current"]) == {"note": "y"}

    def test_what_there_is_not(self, cli: CommandLine, half: ExecutionHandle) -> None:
        assert cli("outcomes", half.id).out == "No record is failed.\n"
        for option in (("--kind", "nonsense"), ("--format", "nonsense"), ("--kind", "conflict")):
            said = cli("outcomes", half.id, *option)
            assert (said.code, said.error) == (2, "invalid_parameters")
