"""Memory: a process that changes and takes back millions of records takes no more than one with few."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.faults import injected, note
from tests.servers import TestServer

QUICK = bool(os.environ.get("ACTION_LEDGER_QUICK_CRASH"))
FEW = 50_000
MANY = 500_000 if QUICK else 5_000_000
MOST_MORE = 64.0
"""Megabytes."""
ROOT = Path(__file__).parents[2]


def most_of_a_run(server: TestServer, records: int) -> float:
    """Give the megabytes that a process took at most."""
    with server.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE subject (id bigint PRIMARY KEY, status text NOT NULL, score bigint NOT NULL)"
            )
            connection.execute(
                "INSERT INTO subject SELECT i, 'open', i FROM generate_series(1, %s) i", [records]
            )
            connection.execute("VACUUM ANALYZE subject")
        command = [sys.executable, "-m", "tests.bench.memory", url]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        with psycopg.connect(url, autocommit=True) as connection:
            changed = connection.execute(
                "SELECT count(*) FROM subject WHERE status <> 'open' OR score <> id"
            ).fetchone()
        assert changed == (0,), "taken back bit for bit"
    return float(done.stdout)


@pytest.mark.crash
@pytest.mark.slow
def test_memory_is_bounded() -> None:
    with servers.running(servers.chosen()[0]) as server:
        few, many = (most_of_a_run(server, records) for records in (FEW, MANY))
    injected(25)
    note(f"Memory: {few:.0f} MB for {FEW:,} records, {many:.0f} MB for {MANY:,}, done and undone")
    assert many - few <= MOST_MORE
