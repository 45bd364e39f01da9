"""Records that others change between planning and their batch, also while the batch waits for their row locks."""

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import LiteralString, TypeVar

import pytest
from psycopg import Connection, sql
from psycopg.errors import DeadlockDetected
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.handle import Handle
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.ops.target import Target
from tests.exact import dump, run
from tests.invariants import check_invariants

NAME = "public.items"
TABLE = sql.Identifier("public", "items")
ROWS = 8
PATIENCE = 10.0
Result = TypeVar("Result")

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def items(connection: Connection[DictRow]) -> Connection[DictRow]:
    """Items 1 to ROWS, in two partitions."""
    run(
        connection,
        "CREATE TABLE items (id int, part int DEFAULT 0, status text NOT NULL DEFAULT 'new', n int DEFAULT 0, other int,"
        " PRIMARY KEY (id, part)) PARTITION BY LIST (part)",
        "CREATE TABLE items_0 PARTITION OF items FOR VALUES IN (0)",
        "CREATE TABLE items_1 PARTITION OF items FOR VALUES IN (1)",
    )
    connection.execute("INSERT INTO items (id) SELECT generate_series(1, %s)", [ROWS])
    return connection


def update(target: Target) -> Request:
    return target.update(n=col("n") + 10, status="old")


def delete(target: Target) -> Request:
    return target.delete(hard=True)


ACTIONS: dict[str, Callable[[Target], Request]] = {"update": update, "delete": delete}

STOPS_MATCHING: LiteralString = "UPDATE items SET status = 'mine' WHERE id = 2;"
VANISHES: LiteralString = "DELETE FROM items WHERE id = 3;"
GETS_ANOTHER_KEY: LiteralString = "UPDATE items SET id = 104 WHERE id = 4;"
STILL_MATCHES: LiteralString = "UPDATE items SET n = 5 WHERE id = 5;"
IS_THERE_AGAIN: LiteralString = (
    "DELETE FROM items WHERE id = 6; INSERT INTO items (id, n) VALUES (6, 5);"
)
MOVES_TO_A_PARTITION: LiteralString = "UPDATE items SET part = 1 WHERE id = 7;"
OUTSIDE = STOPS_MATCHING + VANISHES + GETS_ANOTHER_KEY + STILL_MATCHES
SKIPPED = {"2": "no_longer_matches", "3": "vanished", "4": "vanished"}


@contextmanager
def outsider(url: str, statement: LiteralString) -> Generator[Connection[DictRow]]:
    """Let an outsider's transaction run, and hold its row locks until it commits at the end."""
    with Connection[DictRow].connect(url) as other:
        other.execute(statement, prepare=False)
        yield other


def wait_until_blocked(
    connection: Connection[DictRow], future: Future[Result], sessions: int = 1
) -> None:
    """Wait until so many of the ledger's sessions wait for a lock."""
    deadline = time.monotonic() + PATIENCE
    while True:
        row = connection.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'action-ledger' AND wait_event_type = 'Lock'"
        ).fetchone()
        if row is not None and row["n"] >= sessions:
            return
        assert not future.done(), "it did not wait"
        assert time.monotonic() < deadline, "it never came to wait"
        time.sleep(0.01)


def blocked(
    connection: Connection[DictRow], url: str, statement: LiteralString, work: Callable[[], Result]
) -> Result:
    """Do the work while an outsider holds rows: it commits as soon as the work waits for it."""
    with ThreadPoolExecutor(1) as pool:
        with outsider(url, statement):
            future = pool.submit(work)
            wait_until_blocked(connection, future)
        return future.result(PATIENCE)


def row(connection: Connection[DictRow], id_: int) -> tuple[object, ...] | None:
    found = connection.execute("SELECT status, n FROM items WHERE id = %s", [id_]).fetchone()
    return None if found is None else tuple(found.values())


def skipped(execution: ExecutionHandle) -> dict[str, str]:
    return {outcome.key[0]: outcome.reason for outcome in execution.skipped()}


def outcome(handle: Handle) -> tuple[int, int, int]:
    progress = handle.progress()
    return progress.applied, progress.skipped, progress.failed


@pytest.mark.parametrize("action", ACTIONS)
def test_between_planning_and_the_batch(
    ledger: Ledger, items: Connection[DictRow], action: str
) -> None:
    request = ACTIONS[action](ledger.on(NAME).where(col("status") == "new"))
    execution = request.by("tester").batch_size(4).submit()
    ledger.worker().step(execution.id)
    assert execution.progress().total == ROWS
    run(items, OUTSIDE + IS_THERE_AGAIN + MOVES_TO_A_PARTITION)
    theirs = dump(items, TABLE)
    execution.finish()
    assert skipped(execution) == {**SKIPPED, "7": "vanished"}
    assert outcome(execution) == (ROWS - 4, 4, 0)
    if action == "update":
        assert [row(items, n) for n in (2, 5, 6)] == [("mine", 0), ("old", 15), ("old", 15)]
    check_invariants(items, tables=[NAME])
    assert outcome(execution.undo(by="tester").run()) == (ROWS - 4, 0, 0)
    assert dump(items, TABLE) == theirs


@pytest.mark.parametrize("action", ACTIONS)
def test_while_the_batch_waits_for_the_row(
    ledger: Ledger, items: Connection[DictRow], database_url: str, action: str
) -> None:
    request = ACTIONS[action](ledger.on(NAME).where(col("status") == "new")).by("tester")
    execution = blocked(items, database_url, OUTSIDE, request.run)
    assert skipped(execution) == SKIPPED
    assert outcome(execution) == (ROWS - 3, 3, 0)
    if action == "update":  # what the outsider wrote is what was added to
        assert [row(items, n) for n in (2, 5)] == [("mine", 0), ("old", 15)]
    check_invariants(items, tables=[NAME])
    assert outcome(execution.undo(by="tester").run()) == (ROWS - 3, 0, 0)
    assert [row(items, n) for n in (2, 3, 5)] == [("mine", 0), None, ("new", 5)]
    assert items.execute("SELECT count(*) AS n FROM items").fetchone() == {"n": ROWS - 1}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_new_row_with_the_key_of_one_that_the_batch_waits_for(
    ledger: Ledger, items: Connection[DictRow], database_url: str, action: str
) -> None:
    request = ACTIONS[action](ledger.on(NAME).where(col("status") == "new")).by("tester")
    execution = blocked(items, database_url, IS_THERE_AGAIN, request.run)
    # The statement that waited never saw the new row. Where rows are locked first, the next one does.
    assert skipped(execution) in ({}, {"6": "no_longer_matches"})
    check_invariants(items, tables=[NAME])
    execution.undo(by="tester").run()
    assert row(items, 6) == ("new", 5)


def test_a_row_that_moves_away_under_the_wait(
    ledger: Ledger, items: Connection[DictRow], database_url: str
) -> None:
    """The server cannot follow it to another partition: all is tried again, and finds it there."""
    request = update(ledger.on(NAME).where(col("status") == "new")).by("tester")
    execution = blocked(items, database_url, MOVES_TO_A_PARTITION, request.run)
    assert outcome(execution) == (ROWS, 0, 0)
    check_invariants(items, tables=[NAME])


@pytest.mark.parametrize("action", ACTIONS)
def test_frozen_changes_it_all_the_same(
    ledger: Ledger, items: Connection[DictRow], database_url: str, action: str
) -> None:
    request = ACTIONS[action](ledger.on(NAME).where(col("status") == "new")).by("tester").frozen()
    execution = blocked(items, database_url, STOPS_MATCHING, request.run)
    assert outcome(execution) == (ROWS, 0, 0)
    check_invariants(items, tables=[NAME])
    execution.undo(by="tester").run()
    assert row(items, 2) == ("mine", 0)


@pytest.mark.parametrize("policy", ["skip", "force"])
def test_while_an_undo_waits_for_the_row(
    ledger: Ledger, items: Connection[DictRow], database_url: str, policy: str
) -> None:
    execution = update(ledger.on(NAME).all()).by("tester").run()
    request = execution.undo(by="tester").on_conflict(policy)
    undo = blocked(items, database_url, OUTSIDE, request.run)
    found = {conflict.key[0]: conflict.reason for conflict in undo.conflicts()}
    changed = {} if policy == "force" else {"2": "changed_since", "5": "changed_since"}
    assert found == {"3": "gone", "4": "gone", **changed}
    assert outcome(undo) == (ROWS - len(found), len(found), 0)
    theirs = [("mine", 10), ("old", 5)]
    assert [row(items, n) for n in (2, 5)] == (theirs if changed else [("new", 0)] * 2)
    check_invariants(items, tables=[NAME], touched=["2", "3", "4", "5"])


def test_while_an_undo_of_a_delete_waits_for_a_key(
    ledger: Ledger, items: Connection[DictRow], database_url: str
) -> None:
    execution = delete(ledger.on(NAME).all()).by("tester").run()
    statement = "INSERT INTO items (id, status) VALUES (2, 'mine')"
    undo = blocked(items, database_url, statement, execution.undo(by="tester").run)
    assert outcome(undo) == (ROWS - 1, 1, 0)
    (conflict,) = undo.conflicts()
    assert (conflict.key, conflict.reason) == (("2", "0"), "taken")
    assert conflict.current is not None
    assert conflict.current["status"] == "mine"
    assert row(items, 2) == ("mine", 0)


def test_a_deadlock_is_tried_again(
    ledger: Ledger, items: Connection[DictRow], database_url: str
) -> None:
    """The outsider goes for rows in the other order; whoever is ended, the ledger comes through."""
    items.execute(
        sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '50ms'").format(
            sql.Identifier(items.info.dbname)
        )
    )
    run(items, "UPDATE items SET part = 1 WHERE id = 8")
    request = update(ledger.on(NAME).where(col("status") == "new")).by("tester")
    with ThreadPoolExecutor(2) as pool:
        with outsider(database_url, "UPDATE items SET n = 1 WHERE id = 8") as other:
            future = pool.submit(request.run)
            wait_until_blocked(items, future)
            with suppress(DeadlockDetected):  # the server ends the one or the other
                other.execute("UPDATE items SET n = 1 WHERE id < 8")
                other.commit()
        execution = future.result(PATIENCE)
    assert outcome(execution) == (ROWS, 0, 0)
    check_invariants(items, tables=[NAME])
