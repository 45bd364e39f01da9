"""The command line says who goes on with what is open: the workers that are there, or nobody; and how fast it went."""

import json
import re
import signal
import time

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import ExecutionHandle, Ledger
from tests.command_line import CommandLine
from tests.integration.test_cli_processes import session
from tests.integration.test_steering import submitted
from tests.worker_process import states, until, worker

BY = ("--by", "user:42")
SLOWLY = ("run", "places", "update", "--all", "--set", "note=new", "--yes", "--batch-size", 1, *BY)
CHAIN = json.dumps(
    {
        "steps": [
            {
                "execution": {
                    "resource": {"table": "places"},
                    "action": "update",
                    "parameters": {"values": {"note": "x"}},
                    "selection": {"kind": "keys", "keys": [1]},
                }
            }
        ]
    }
)
UNTIL_IDLE = "worker --until-idle"


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


def offered(said: str) -> list[str]:
    """The commands that were offered, in their order, each without its options."""
    lines = (line.split() for line in re.sub(r"\x1b\[[\d;]*m", "", said).splitlines())
    return [words[1] for words in lines if words[:1] == ["action-ledger"]]


@pytest.mark.slow
@pytest.mark.parametrize("queue", ["default", "other"])
def test_being_a_worker_is_offered_only_where_no_living_one_serves_the_queue(
    cli: CommandLine, database_url: str, connection: Connection[DictRow], queue: str
) -> None:
    daily = ("--cron", "0 0 * * *", "--timezone", "UTC")
    with worker(database_url, "--queue", queue):
        until(lambda: states(connection) and "starting" not in states(connection))
        submitted = cli(*SLOWLY, "--rate", 2, "--submit")
        shown = cli("show", "last")
        scheduled = cli("schedule", *SLOWLY[1:], *daily)
        chained = cli("chain", CHAIN, "--submit", *BY)
    served = queue == "default"
    assert ("No worker is there" in scheduled.out) is not served
    assert "No worker is there" not in chained.out  # any worker moves a chain on
    for said in (submitted, shown):
        assert (UNTIL_IDLE in said.out) is not served
        assert ("watch" in offered(said.out)) is served
    with worker(database_url, "--queue", queue) as lost:
        until(lambda: "working" in states(connection) or "idle" in states(connection))
        connection.execute(
            "UPDATE action_ledger.workers SET heartbeat_at = heartbeat_at - interval '1 day'"
        )
        lost.send(signal.SIGSTOP)
        assert UNTIL_IDLE in cli("show", "last").out
        assert "No worker is there to move it on" in cli("chain", CHAIN, "--submit", *BY).out


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_says_whether_somebody_goes_on(
    cli: CommandLine, database_url: str, connection: Connection[DictRow], workers: int
) -> None:
    with worker(database_url, "--name", "web1", *(() if workers else ("--queue", "other"))):
        until(lambda: states(connection) and "starting" not in states(connection))
        with session(cli, *map(str, SLOWLY), "--rate", "5") as terminal:
            terminal.expect("1/100")
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 130
        said = " ".join(terminal.seen.split())
        stopped = cli("show", "last", "--json").json["applied"]
        if workers:
            assert "it is not stopped: 1 worker goes on with it" in said
            assert "web1" in said
            assert offered(terminal.seen) == ["cancel", "pause", "watch"]
            until(lambda: cli("show", "last", "--json").json["applied"] > stopped)
        else:
            assert "nobody goes on with it" in said
            assert offered(terminal.seen) == ["cancel", "worker", "show"]
            time.sleep(1)
            assert cli("show", "last", "--json").json["applied"] == stopped


@pytest.mark.slow
def test_an_interruption_told_to_a_program(
    cli: CommandLine, database_url: str, connection: Connection[DictRow]
) -> None:
    with worker(database_url, "--name", "web1"):
        until(lambda: states(connection) and "starting" not in states(connection))
        with session(cli, *map(str, SLOWLY), "--rate", "5", "--json") as terminal:
            until(
                lambda: connection.execute(
                    "SELECT 1 AS n FROM places WHERE note = 'new'"
                ).fetchone()
            )
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.end() == 130
    (line,) = [line for line in terminal.seen.splitlines() if '"code"' in line]
    told = json.loads(line)
    assert (told["code"], told["workers"]) == ("interrupted", ["web1"])


def test_a_rate_does_not_count_a_pause(ledger: Ledger, places: str, cli: CommandLine) -> None:
    execution: ExecutionHandle = submitted(ledger, places)
    for _ in range(4):
        ledger.worker().step(execution.id)
    execution.pause(by="user:1")
    held = execution.progress()
    assert (held.rate, held.eta) == (None, None)
    time.sleep(1)
    execution.resume(by="user:1")
    ledger.worker().finish(execution.id)
    done = execution.progress()
    assert 1 <= done.paused < done.elapsed
    assert done.rate == pytest.approx(100 / (done.elapsed - done.paused))
    assert "of them paused" in cli("show", execution.id).out


def test_a_pause_that_a_cancel_ended_is_over(ledger: Ledger, places: str) -> None:
    execution = submitted(ledger, places)
    ledger.worker().step(execution.id)
    execution.pause(by="user:1")
    execution.cancel(by="user:1")
    before = execution.progress().paused
    time.sleep(0.2)
    assert execution.progress().paused == before < execution.progress().elapsed
