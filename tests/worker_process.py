"""`action-ledger worker` as a process of its own, and what its row in the roster says."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from tests.other_clock import SLEEPS, STEADY, faketime

# A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that: a service manager does not.
PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from action_ledger.ops.cli import main; main()"
DEADLINE = 30.0


class WorkerProcess:
    """One worker; what it says is in ``log``. ``shift`` is by what its clock is off, see ``other_clock``."""

    def __init__(
        self, url: str, *arguments: str, shift: str | None = None, **settings: object
    ) -> None:
        self._output = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed by ``close``
        environment = {
            **{name: value for name, value in os.environ.items() if "ACTION_LEDGER" not in name},
            "ACTION_LEDGER_DATABASE_URL": url,
            **{f"ACTION_LEDGER_{name.upper()}": str(value) for name, value in settings.items()},
        }
        program = [sys.executable, "-c", PROGRAM, "worker", *arguments]
        if shift is not None:
            environment |= STEADY
            program = [
                *faketime(shift),
                sys.executable,
                "-c",
                SLEEPS + PROGRAM,
                "worker",
                *arguments,
            ]
        self.process = subprocess.Popen(
            program,
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, env=environment,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        self._output.seek(0)
        return self._output.read().decode()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, seconds: float = DEADLINE) -> int:
        """Wait for its end, and give the exit code."""
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._output.close()


@contextmanager
def worker(
    url: str, *arguments: str, shift: str | None = None, **settings: object
) -> Generator[WorkerProcess]:
    """Start a worker, and see that it is gone at the end."""
    started = WorkerProcess(url, *arguments, shift=shift, **settings)
    try:
        yield started
    finally:
        started.close()


def until(happened: Callable[[], object], what: str = "it", *, seconds: float = DEADLINE) -> float:
    """Wait until something is so; give how many seconds that took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds, f"{what} did not happen in {seconds} seconds"
        time.sleep(0.005)
    return time.monotonic() - began


def roster(connection: Connection[DictRow]) -> list[DictRow]:
    """Read the roster's rows."""
    return connection.execute("SELECT * FROM action_ledger.workers ORDER BY started_at").fetchall()


def states(connection: Connection[DictRow]) -> list[str]:
    return [row["state"] for row in roster(connection)]


def waiting(connection: Connection[DictRow]) -> int:
    """Count the ledger's sessions that wait for a row that somebody else has locked."""
    row = connection.execute(
        "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'action-ledger' AND wait_event_type = 'Lock'"
    ).fetchone()
    return int(row["n"]) if row else 0


@contextmanager
def held(url: str, statement: str, *parameters: Any) -> Generator[Connection[DictRow]]:
    """Hold the row locks of a statement of an outsider's; ``rollback`` lets go of them."""
    with psycopg.connect(url, row_factory=dict_row) as other:
        other.execute(statement.encode(), parameters or None)
        yield other
        other.rollback()
