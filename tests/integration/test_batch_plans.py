"""A batch is never worked through in a nested loop over itself: 10,000 records with one bad one stay quick.

The planner takes the arrays of a batch for a few rows. Where it chose a nested loop, one record that was left
alone cost its batch 10 seconds and more; hashed it is a tenth of one.
"""

import time
from collections.abc import Callable

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import ExecutionHandle, Ledger, UndoHandle, open_ledger
from action_ledger.workers.statements import RETURNING_OLD

pytestmark = [pytest.mark.slow, pytest.mark.every_postgres]

RECORDS = 10_000
SECONDS = 4.0


@pytest.fixture
def ledger(database_url: str, connection: Connection[DictRow]) -> Ledger:
    connection.execute("CREATE TABLE thing (id bigint PRIMARY KEY, name text, score int NOT NULL)")
    connection.execute(
        "INSERT INTO thing SELECT i, 'thing ' || i, i FROM generate_series(1, %s) i", [RECORDS]
    )
    connection.execute("ANALYZE thing")
    return open_ledger(database_url)


def quickly(work: Callable[[], UndoHandle]) -> UndoHandle:
    started = time.monotonic()
    undo = work()
    assert time.monotonic() - started < SECONDS
    return undo


def index_searches(connection: Connection[DictRow]) -> int:
    rows = connection.execute("SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'thing'")
    return sum(row["idx_scan"] for row in rows)


def updated(ledger: Ledger) -> ExecutionHandle:
    return ledger.on("thing").all().update(score=col("score") + 1).by("t").run()


def test_rows_are_found_in_one_walk_along_the_key(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    if connection.info.server_version < RETURNING_OLD:
        pytest.skip("the rows are joined there, since they are read before")
    with ledger:
        updated(ledger)
    deadline = time.monotonic() + SECONDS  # a session counts when it has ended
    while not (searches := index_searches(connection)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 0 < searches < RECORDS / 100


def test_a_conflict(ledger: Ledger, connection: Connection[DictRow]) -> None:
    with ledger:
        execution = updated(ledger)
        connection.execute("UPDATE thing SET score = -1 WHERE id = 5")
        undo = quickly(execution.undo(by="t").run)
        assert (undo.progress().applied, undo.progress().skipped) == (RECORDS - 1, 1)


def test_what_was_undone_and_redone_before(ledger: Ledger) -> None:
    with ledger:
        execution = updated(ledger)
        quickly(execution.undo(by="t").run).redo(by="t").run()
        assert quickly(execution.undo(by="t").run).progress().applied == RECORDS


def test_chosen_keys(ledger: Ledger) -> None:
    with ledger:
        execution = updated(ledger)
        chosen = range(2, RECORDS + 1)
        assert quickly(execution.undo(by="t").keys(chosen).run).progress().applied == RECORDS - 1


def test_a_hard_delete(ledger: Ledger) -> None:
    with ledger:
        execution = ledger.on("thing").all().delete(hard=True).by("t").run()
        assert quickly(execution.undo(by="t").run).progress().applied == RECORDS


def test_columns_that_a_trigger_writes(ledger: Ledger, connection: Connection[DictRow]) -> None:
    connection.execute(
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.name := clock_timestamp()::text; RETURN NEW; END $$"
    )
    connection.execute(
        "CREATE TRIGGER stamp BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION stamp()"
    )
    with ledger:
        undo = quickly(updated(ledger).undo(by="t").run)
        assert (undo.progress().applied, undo.excepted) == (RECORDS, ["name"])
