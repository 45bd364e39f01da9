"""Others on the rows of an undo, at each of its steps: every record is taken back, or in conflict and listed.

Another action of the ledger meets the undo's record lock and waits for its end. An outsider knows no such lock, and
meets it row by row.
"""

import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import UndoHandle, open_ledger
from action_ledger.ops.ledger import Ledger
from tests.crash.harness import Watcher, make_places, scores, until
from tests.crash.scenarios import COMPENSATIONS, RECORDS, UNDO, Stage, add_one
from tests.crash.test_connections import struck
from tests.crash.test_contention import waiting
from tests.invariants import check_invariants

pytestmark = [pytest.mark.crash, pytest.mark.fault(20)]

POLICIES = pytest.mark.parametrize("policy", ["skip", "force"])


@POLICIES
@pytest.mark.parametrize("step", [*UNDO, *COMPENSATIONS])
def test_another_action_at_a_step(
    database_url: str, connection: Connection[DictRow], step: str, policy: str
) -> None:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        other = ledger.on("places").all().update(score=col("score") + 10).by("user:3")
        action = other.batch_size(15).on_locked("wait").run
        undo = met(ledger, connection, step, policy, action)
        assert {each.status for each in ledger.executions()} == {"completed"}
        found = scores(connection)
        if step != UNDO[0]:
            assert found == {10: RECORDS}, "it waited until all were taken back"
        elif policy == "force":
            assert found == {0: RECORDS}, "it was in time, and was overwritten"
        else:
            assert found == {11: RECORDS}, "it was in time, and was left alone"
        check_conflicts(undo, policy, found)
        check_invariants(connection, ledger=ledger, tables=["places"])


@POLICIES
@pytest.mark.parametrize("step", [*UNDO, *COMPENSATIONS])
def test_an_outsider_at_a_step(
    database_url: str, connection: Connection[DictRow], step: str, policy: str
) -> None:
    make_places(connection, RECORDS)

    def write() -> None:
        with psycopg.connect(database_url, autocommit=True) as outsider:
            while True:
                try:
                    outsider.execute("UPDATE places SET score = score + 10")
                except psycopg.errors.DeadlockDetected:
                    continue
                return

    with open_ledger(database_url) as ledger, Watcher(database_url):
        undo = met(ledger, connection, step, policy, write)
        found = scores(connection)
        if step == UNDO[0]:
            assert found == {0 if policy == "force" else 11: RECORDS}, "it was in time for all"
        check_conflicts(undo, policy, found)
        touched = connection.execute(
            "SELECT id::text AS key FROM places WHERE score <> 0"
        ).fetchall()
        check_invariants(
            connection, ledger=ledger, tables=["places"], touched=[row["key"] for row in touched]
        )


def met(
    ledger: Ledger,
    connection: Connection[DictRow],
    step: str,
    policy: str,
    act: Callable[[], object],
) -> UndoHandle:
    """Take an execution back, and let another act at a step, to its end or until it has to wait."""
    execution = add_one(Stage("", ledger, connection)).run()
    raised: list[BaseException] = []

    def acting() -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)
            raise

    thread = threading.Thread(target=acting)

    def meanwhile() -> None:
        thread.start()
        until(lambda: not thread.is_alive() or held_up(connection), "its end, or its wait")

    with struck(step, 1, meanwhile):
        undo = execution.undo(by="user:2").on_conflict(policy).run()
    thread.join(30)
    assert not thread.is_alive()
    assert not raised
    assert undo.status == "completed"
    return undo


def held_up(connection: Connection[DictRow]) -> bool:
    """Whether somebody waits for a lock of PostgreSQL, or for one on records."""
    asking = "SELECT 1 FROM action_ledger.view_locks_g1 WHERE status = 'waiting'"
    return waiting(connection) > 0 or connection.execute(asking).fetchone() is not None


def check_conflicts(undo: UndoHandle, policy: str, found: dict[int, int]) -> None:
    """Each record was taken back, or is in conflict, listed and as the other left it."""
    assert found.keys() <= {0, 10, 11}
    left = found.get(11, 0)
    assert left == len(list(undo.conflicts()))
    assert undo.progress().applied == RECORDS - left
    assert not left or policy == "skip"
    assert policy == "force" or 0 not in found
