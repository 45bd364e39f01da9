"""A child that somebody inserts while a delete is at work: it comes back by the undo, or it was never there."""

import threading
import time
from contextlib import suppress

import pytest
from psycopg import Connection
from psycopg.errors import ForeignKeyViolation, LockNotAvailable
from psycopg.rows import DictRow, dict_row

from action_ledger.ops import Ledger
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.workers.steps import strike
from tests.dump import dump_table
from tests.exact import run
from tests.invariants import check_invariants

pytestmark = [pytest.mark.every_postgres, pytest.mark.fault(20)]

TABLES = ("public.parents", "public.children", "public.notes", "public.grandchildren")
LONGEST = 20.0


@pytest.fixture
def family(connection: Connection[DictRow]) -> Connection[DictRow]:
    run(
        connection,
        "CREATE TABLE parents (id int PRIMARY KEY)",
        "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE)",
        "CREATE TABLE notes (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE SET NULL)",
        "CREATE TABLE grandchildren (id int PRIMARY KEY, child int REFERENCES children ON DELETE CASCADE)",
        "INSERT INTO parents SELECT generate_series(1, 6)",
        "INSERT INTO children SELECT i, i FROM generate_series(1, 6) i",
        "INSERT INTO notes SELECT i, i FROM generate_series(1, 6) i",
        "INSERT INTO grandchildren SELECT i, i FROM generate_series(1, 6) i",
    )
    return connection


def dump(connection: Connection[DictRow]) -> list[list[str]]:
    return [dump_table(connection, table) for table in TABLES]


def delete(ledger: Ledger) -> ExecutionHandle:
    return ledger.on("parents").all().delete(hard=True).by("t").batch_size(3).submit()


def test_at_every_step_point(
    ledger: Ledger, family: Connection[DictRow], database_url: str
) -> None:
    """An outsider tries at each point to add a child, a note and a grandchild, and is let in or kept out."""
    seen: list[str] = []
    token = strike.set(seen.append)
    before = dump(family)
    try:
        first = delete(ledger)
        first.finish()
    finally:
        strike.reset(token)
    first.undo(by="t").run()
    assert dump(family) == before
    assert {
        "children.parents_locked",
        "children.locked",
        "children.captured",
        "children.gone",
    } <= set(seen)
    let_in: set[str] = set()
    with Connection[DictRow].connect(database_url, autocommit=True, row_factory=dict_row) as other:
        other.execute("SET lock_timeout = '50ms'")
        for number, point in enumerate(dict.fromkeys(seen), 100):
            passed = False

            def intrude(step: str, number: int = number, point: str = point) -> None:
                nonlocal passed
                if passed or step != point:
                    return
                passed = True
                for statement in (
                    "INSERT INTO children VALUES (%s, 5)",
                    "INSERT INTO notes VALUES (%s, 5)",
                    "INSERT INTO grandchildren VALUES (%s, 5)",
                    "UPDATE children SET parent = 4 WHERE id = 2 AND %s > 0",
                ):
                    with suppress(LockNotAvailable, ForeignKeyViolation):
                        other.execute(statement, [number])
                        let_in.add(point)

            token = strike.set(intrude)
            try:
                execution = delete(ledger)
                execution.finish()
            finally:
                strike.reset(token)
            assert (execution.status, execution.progress().failed) == ("completed", 0)
            undo = execution.undo(by="t").run()
            assert [*undo.failures(), *undo.skipped(), *undo.conflicts()] == [], point
            # Whatever was let in is there, and nothing else is missing.
            assert len(dump(family)[0]) == 6
            for table, was in zip(TABLES[1:], before[1:], strict=True):
                now = dump_table(family, table)
                assert len(now) >= len(was), (point, table)
                was[:] = now
            run(family, "UPDATE children SET parent = 2 WHERE id = 2")
            before = dump(family)
            check_invariants(family, ledger=ledger, tables=TABLES, touched=["2"])
    assert {"batch.claimed", "children.parents_locked"} <= let_in


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize(
    "written",
    [
        "INSERT INTO children VALUES (50, 2)",
        "INSERT INTO notes VALUES (50, 2)",
        "INSERT INTO grandchildren VALUES (50, 2)",
        "UPDATE children SET parent = 2 WHERE id = 3",
        "UPDATE children SET parent = NULL WHERE id = 2",
        "DELETE FROM grandchildren WHERE id = 2",
    ],
)
def test_while_the_delete_waits(
    ledger: Ledger, family: Connection[DictRow], database_url: str, written: str, ends: str
) -> None:
    """The other order: the outsider was first, and the delete waits for what it does with the child."""
    before = dump(family)
    execution = ledger.on("parents").keys([2]).delete(hard=True).by("t").submit()
    with Connection[DictRow].connect(database_url, autocommit=True, row_factory=dict_row) as other:
        other.execute("BEGIN")
        other.execute(written.encode())
        theirs = dump(other)
        thread = threading.Thread(target=execution.finish)
        thread.start()
        deadline = time.monotonic() + LONGEST
        waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while family.execute(waits).fetchone() is None:
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)
        other.execute(ends.encode())
        thread.join()
    assert (execution.status, execution.progress().applied) == ("completed", 1)
    assert "(2)" not in dump(family)[0]
    undo = execution.undo(by="t").run()
    assert [*undo.failures(), *undo.skipped(), *undo.conflicts()] == []
    assert dump(family) == (theirs if ends == "COMMIT" else before)
    check_invariants(family, ledger=ledger, tables=TABLES)
