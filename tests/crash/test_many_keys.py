"""Ten million keys at once: they are streamed, in constant memory, to one end or to none."""

import os
import subprocess
import sys

import psycopg
import pytest
from psycopg.rows import dict_row

from tests import servers
from tests.faults import injected, note
from tests.invariants import check_invariants
from tests.servers import TestServer

QUICK = bool(os.environ.get("ACTION_LEDGER_QUICK_CRASH"))
FEW = 20_000
MANY = 1_000_000 if QUICK else 10_000_000
RECORDS = 1_000
MOST_MORE = 64.0
"""Megabytes."""

PROGRAM = """
import sys
from pathlib import Path
from action_ledger.domain import ActionLedgerError
from action_ledger.ops import open_ledger

count = int(sys.argv[2])
with open_ledger(sys.argv[1]) as ledger:
    on = ledger.on("numbers")
    wrong = (key if key < count - 1 else "last" for key in range(count))
    try:
        on.keys(wrong).update(n=1).by("a").run()
    except ActionLedgerError as error:
        print(error.code)
    execution = on.keys(range(count)).update(n=1).by("a").run()
    print(execution.status, execution.progress().applied, execution.progress().skipped)
line, = (l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM:"))
print(int(line.split()[1]) / 1024)
"""


def most_of_a_run(server: TestServer, keys: int) -> float:
    """Give the megabytes that a process took at most which chose so many keys, most of them of no record."""
    with server.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE numbers (id bigint PRIMARY KEY, n int)")
            connection.execute(
                "INSERT INTO numbers SELECT i, 0 FROM generate_series(0, %s) i", [RECORDS - 1]
            )
        command = [sys.executable, "-c", PROGRAM, url, str(keys)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        refusal, told, most = done.stdout.splitlines()
        assert refusal == "invalid_value", "of the last key, after which nothing is there"
        assert told == f"completed {RECORDS} {keys - RECORDS}"
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            counts = connection.execute(
                "SELECT count(*) FILTER (WHERE topic = 'execution.requested') AS requested,"
                " count(DISTINCT originator_id) FILTER (WHERE topic = 'batch.planned') AS batches"
                " FROM action_ledger.stored_events"
            ).fetchone()
            assert counts == {"requested": 1, "batches": -(-keys // 10_000)}
            changed = connection.execute("SELECT count(*) AS n FROM numbers WHERE n = 1").fetchone()
            assert changed == {"n": RECORDS}
            if keys == FEW:
                check_invariants(connection, tables=["numbers"])
    return float(most)


@pytest.mark.crash
@pytest.mark.slow
@pytest.mark.fault(16)
def test_ten_million_keys() -> None:
    with servers.running(servers.chosen()[0]) as server:
        few, many = (most_of_a_run(server, keys) for keys in (FEW, MANY))
    injected(16, 4)
    note(f"Memory: {few:.0f} MB for {FEW:,} keys, {many:.0f} MB for {MANY:,}")
    assert many - few <= MOST_MORE
