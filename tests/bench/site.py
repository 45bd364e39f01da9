"""The place where everything is measured: a server, a table of one shape, and the ledger beside it.

The server is the embedded one with the settings of a production server: everything is flushed, and
autovacuum is off because the bench itself vacuums between the parts. Each part begins on the same table,
loaded anew, vacuumed and analysed, with a checkpoint just behind it.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, embedded, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.embedded_server import Server
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.ops.migrations import migrate
from action_ledger.projections.sql_blocks import read_blocks

SQL = read_blocks("tests.bench", "bench.sql")
SCHEMA = "action_ledger"
SETTINGS = embedded.SETTINGS | {
    "autovacuum": "off",
    "checkpoint_timeout": "30min",
    "effective_cache_size": "4GB",
    "max_wal_size": "4GB",
    "shared_buffers": "1GB",
    "wal_level": "replica",
}


@dataclass(frozen=True, slots=True)
class Site:
    """A database with the table, a connection for the rivals, and the ledger."""

    url: str
    rows: int
    connection: Connection[DictRow]
    ledger: Ledger

    def run(self, block: str, **values: object) -> list[DictRow]:
        """Run a block of `bench.sql`; give its rows, if it has any."""
        cursor = self.connection.execute(SQL[block], values)
        return cursor.fetchall() if cursor.description else []

    def number(self, block: str, **values: object) -> float:
        """Run a block that gives one number."""
        (row,) = self.run(block, **values)
        return float(next(iter(row.values())))

    def reset(self) -> None:
        """Load the table anew and let the server come to rest."""
        self.run("empty")
        self.run("load", rows=self.rows)
        self.settle()

    def settle(self) -> None:
        """Clean up after the last part, so that no part pays for another."""
        self.run("vacuum_subject")
        self.run("vacuum_all")
        self.run("checkpoint")

    def request(self) -> Request:
        """Build the change that everything is measured with, over all rows."""
        changed = self.ledger.on("public.subject").all()
        return changed.update(status="archived", score=col("score") + 1).by("user:bench")

    def run_all(self, request: Request, *, workers: int) -> tuple[ExecutionHandle, float]:
        """Run it and give its seconds. Raises when a record was left out."""
        started = time.perf_counter()
        execution = request.run(workers=workers)
        seconds = time.perf_counter() - started
        progress = execution.progress()
        if progress.applied != self.rows:
            message = f"{progress.applied} of {self.rows} records were changed: {progress}"
            raise AssertionError(message)
        return execution, seconds

    def undo_all(self, execution: ExecutionHandle, *, workers: int) -> float:
        """Take it back and give the seconds. Raises when a record was left out."""
        started = time.perf_counter()
        undo = execution.undo(by="user:bench").run(workers=workers)
        seconds = time.perf_counter() - started
        progress = undo.progress()
        if progress.applied != self.rows:
            message = f"{progress.applied} of {self.rows} records were taken back: {progress}"
            raise AssertionError(message)
        return seconds


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def server() -> Generator[Server]:
    """Run a server of its own in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="action-ledger-bench-"))
    running = Server(embedded.programs(), directory / "data", SETTINGS, embedded.INIT_OPTIONS)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def site(running: Server, name: str, rows: int, *, template: str | None = None) -> Generator[Site]:
    """Make a database with a migrated ledger and an empty table, or a copy of one, and open it."""
    with psycopg.connect(running.url(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template or "template1")
            )
        )
    url = running.url(name)
    with Connection[DictRow].connect(url, autocommit=True, row_factory=dict_row) as connection:
        if template is None:
            migrate(connection, SCHEMA)
            connection.execute(SQL["create"])
        with open_ledger(url) as ledger:
            yield Site(url, rows, connection, ledger)
