"""What crash tests share: a table of places, workers in processes of their own, and a reader that never rests."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from types import TracebackType
from typing import Any, Self

from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row

from tests.accounts import view_of
from tests.crash import child
from tests.faults import injected

# Children are forked off a process that has imported everything and has no connection: that takes no time.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.crash.child"])
LONGEST = 60.0
"""Seconds after which something that should happen is said not to."""


def make_places(connection: Connection[DictRow], records: int, *, table: str = "places") -> None:
    """Make a table of places with ids from 1, each with a score that is its id."""
    for statement in (
        "CREATE TABLE {} (id bigint PRIMARY KEY, name text NOT NULL, score bigint NOT NULL)",
        "INSERT INTO {} SELECT i, 'place ' || i, i FROM generate_series(1, {}) i",
        "VACUUM ANALYZE {}",
    ):
        connection.execute(sql.SQL(statement).format(sql.Identifier(table), records))


def scores(connection: Connection[DictRow], *, table: str = "places") -> dict[int, int]:
    """Count the places by how often 1 was added to their score."""
    statement = sql.SQL("SELECT score - id AS added, count(*) AS places FROM {} GROUP BY 1")
    rows = connection.execute(statement.format(sql.Identifier(table))).fetchall()
    return {row["added"]: row["places"] for row in rows}


def topics(connection: Connection[DictRow]) -> dict[str, int]:
    """Count the ledger's events by topic."""
    rows = connection.execute(
        "SELECT topic, count(*) AS events FROM action_ledger.stored_events GROUP BY 1"
    ).fetchall()
    return {row["topic"]: row["events"] for row in rows}


@contextmanager
def children(*orders: dict[str, Any]) -> Generator[list[ForkServerProcess]]:
    """Start children, see ``child``; and see that none is left."""
    started: list[ForkServerProcess] = []
    try:
        for order in orders:
            process = PROCESSES.Process(target=child.main, args=(order,))
            process.start()
            started.append(process)
        yield started
    finally:
        for process in started:
            process.kill()
            process.join()
            process.close()


def killed(*orders: dict[str, Any]) -> int:
    """Run children until each has killed itself; give how many there were."""
    with children(*orders) as started:
        for process, order in zip(started, orders, strict=True):
            process.join(LONGEST)
            code = process.exitcode
            assert code == -signal.SIGKILL, f"{order} ended with {code}: it never came to its step"
            injected(1)
    return len(orders)


def finished(*orders: dict[str, Any]) -> None:
    """Run children until all have done their work."""
    with children(*orders) as started:
        for process in started:
            process.join(LONGEST)
            assert process.exitcode == 0


def until(happened: Callable[[], object], what: str = "it", *, seconds: float = LONGEST) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds} seconds"
        time.sleep(0.01)


class Watcher:
    """Reads the counts of every job all the time, from another thread, and keeps what did not add up."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.reads = 0
        self.wrong: list[DictRow] = []
        self.died: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            assert self.died is None, self.died
            assert not self.wrong, f"did not add up: {self.wrong[:3]}"
            assert self.reads > 0

    def _watch(self) -> None:
        try:
            with Connection[DictRow].connect(
                self._url, autocommit=True, row_factory=dict_row
            ) as connection:
                while not self._stop.is_set():
                    self._look(connection)
                    time.sleep(0.002)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            self.died = error

    def _look(self, connection: Connection[DictRow]) -> None:
        for view in ("executions", "undos"):
            rows = connection.execute(
                sql.SQL("SELECT status, total, applied, failed, skipped, pending FROM {}").format(
                    view_of(connection, view)
                )
            ).fetchall()
            self.reads += len(rows)
            self.wrong += [
                row
                for row in rows
                if row["applied"] + row["failed"] + row["skipped"] + row["pending"] != row["total"]
                or min(row["applied"], row["failed"], row["skipped"], row["pending"]) < 0
            ]
