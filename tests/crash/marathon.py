"""One long execution under fire: workers are killed at random, and the server is stopped at once, again and again.

``python -m tests.crash.marathon`` runs it twice, undisturbed and disturbed, and prints what was injected, what was
broken, and how long it took. Its exit code says whether all held. ``make crash`` runs it at the end.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from rich.console import Console
from rich.table import Table

from action_ledger.domain import col
from action_ledger.ops import Settings, embedded, migrations, open_ledger
from action_ledger.ops.embedded_server import Server
from tests.bench.site import SETTINGS
from tests.crash import child
from tests.crash.harness import PROCESSES, make_places, scores
from tests.invariants import check_invariants
from tests.worker_process import states, until

WORKERS = 4
LEASE_SECONDS = 2.0
PAUSE = 0.05
"""Seconds between two blows, on the average."""
LONGEST = 600.0
TIMES = 2
"""So many times the undisturbed run it may take, beside the restarts."""


@dataclass
class Ran:
    """What one run took: seconds of the whole, until a worker is ready, and of each recovery of the server."""

    seconds: float
    ready: float
    recoveries: list[float]
    kills: int


class Crew:
    """Workers in processes of their own, each replaced as soon as it was killed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._workers: list[ForkServerProcess] = []

    def fill(self) -> None:
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        while len(self._workers) < WORKERS:
            order = {"url": self._url, "lease_seconds": LEASE_SECONDS}
            worker = PROCESSES.Process(target=child.main, args=(order,))
            worker.start()
            self._workers.append(worker)

    def kill_one(self) -> None:
        """Kill one that lives; one that came while the server was down has left by itself."""
        worker = None
        while worker is None or worker.exitcode != -signal.SIGKILL:
            self.fill()
            worker = random.choice(self._workers)  # noqa: S311 - no secret
            worker.kill()
            worker.join()
        self.fill()

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.join()


@contextmanager
def database(records: int) -> Generator[tuple[Server, str]]:
    """A server of its own that flushes, with a migrated database and places in it."""
    directory = Path(tempfile.mkdtemp(prefix="action-ledger-marathon-"))
    server = Server(embedded.programs(), directory / "data", SETTINGS, embedded.INIT_OPTIONS)
    try:
        server.start()
        with connected(server.url()) as connection:
            migrations.migrate(connection, "action_ledger")
            make_places(connection, records)
        yield server, server.url()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def connected(url: str) -> Generator[Connection[DictRow]]:
    with Connection[DictRow].connect(url, autocommit=True, row_factory=dict_row) as opened:
        yield opened


def run(records: int, batch_size: int, *, kills: int, stops: int) -> Ran:
    """Work through one execution under so many blows, and check everything afterwards."""
    with database(records) as (server, url), open_ledger(url, settings=Settings()) as ledger:
        crew = Crew(url)
        recoveries: list[float] = []
        blows = ["kill"] * kills + ["stop"] * stops
        random.shuffle(blows)
        # How long all take to be there, divided by their number: so much of the machine each start costs.
        began = time.monotonic()
        crew.fill()
        with connected(url) as connection:
            until(lambda: states(connection).count("idle") == WORKERS, "a whole crew")
        ready = (time.monotonic() - began) / WORKERS
        request = ledger.on("public.places").all().update(score=col("score") + 1)
        execution = request.by("marathon").batch_size(batch_size).submit()
        began = time.monotonic()
        done = 0
        try:
            while not ended(url, execution.id):
                assert time.monotonic() - began < LONGEST, "it never ended"
                time.sleep(random.uniform(0, 2 * PAUSE))  # noqa: S311 - no secret
                if blows:
                    if blows.pop() == "kill":
                        crew.kill_one()
                        done += 1
                    else:
                        recoveries.append(stop_at_once(server))
            seconds = time.monotonic() - began
        finally:
            crew.close()
        with connected(url) as connection:
            assert scores(connection) == {1: records}, scores(connection)
            check_invariants(connection, ledger=ledger, tables=["places"])
        return Ran(seconds, ready, recoveries, done)


def ended(url: str, execution_id: object) -> bool:
    try:
        with connected(url) as connection:
            row = connection.execute(
                "SELECT status FROM action_ledger.view_executions_g1 WHERE execution_id = %s",
                [execution_id],
            ).fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and row["status"] == "completed"


def stop_at_once(server: Server) -> float:
    """Stop the server without a checkpoint, as a crash does, and start it again; give the seconds until it answers."""
    began = time.monotonic()
    server._run("pg_ctl", ["stop", "-w", "-m", "immediate"])
    server.start()
    return time.monotonic() - began


def main() -> int:
    """Run it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--batch-size", type=int, default=200)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    calm = run(chosen.records, chosen.batch_size, kills=0, stops=0)
    rough = run(chosen.records, chosen.batch_size, kills=chosen.kills, stops=chosen.stops)
    restarts = rough.kills * rough.ready + sum(rough.recoveries)
    allowed = TIMES * calm.seconds + restarts
    injected = rough.kills == chosen.kills and len(rough.recoveries) == chosen.stops
    table = Table(title=f"{chosen.records:,} records, {WORKERS} workers")
    for heading in ("what", "figure"):
        table.add_column(heading)
    for what, figure in (
        ("workers killed (SIGKILL)", f"{rough.kills} of {chosen.kills}"),
        ("immediate stops of PostgreSQL", f"{len(rough.recoveries)} of {chosen.stops}"),
        ("invariants broken", "0"),
        ("undisturbed", f"{calm.seconds:.1f} s"),
        ("disturbed", f"{rough.seconds:.1f} s"),
        ("of that, restarts of the server", f"{sum(rough.recoveries):.1f} s"),
        ("what the start of a worker costs", f"{rough.ready * 1000:.0f} ms"),
        (f"allowed ({TIMES} times undisturbed, and restarts)", f"{allowed:.1f} s"),
    ):
        table.add_row(what, figure)
    Console().print(table)
    if not injected:
        sys.stderr.write("The execution ended before all was injected: take smaller batches.\n")
    return 0 if injected and rough.seconds <= allowed else 1


if __name__ == "__main__":
    sys.exit(main())
