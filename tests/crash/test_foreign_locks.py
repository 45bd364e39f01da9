"""Locks that outsiders hold, and the append lock: work is put off as long as it takes, and is done once."""

import time
from uuid import UUID

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger, open_ledger
from action_ledger.workers import loop
from action_ledger.workers.claim import claim
from tests.crash.harness import Watcher, make_places, scores, topics, until
from tests.crash.test_connections import struck
from tests.crash.test_contention import add_one, attempts, default, foreign, waiting, working
from tests.invariants import check_invariants


@pytest.mark.fault(6)
@pytest.mark.every_postgres
@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
def test_foreign_transaction_holds_rows(
    database_url: str,
    connection: Connection[DictRow],
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
) -> None:
    """55P03 and 57014: put off as often as it takes, and done when the rows are free.

    What runs out of time is split once; after that it is known for a wait, and no record is blamed for it.
    """
    monkeypatch.setattr(loop, "LONGEST_DELAY", 0.1)
    make_places(connection, 400)
    default(connection, setting, "100ms")
    free = 200 if setting == "lock_timeout" else 300
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(ledger, 100).submit()
        held = "UPDATE places SET name = 'mine' WHERE id IN (150, 250)"
        with (
            foreign(database_url, held) as release,
            working(lambda: ledger.worker().finish(execution.id)),
        ):
            until(lambda: execution.progress().applied == free)
            until(lambda: tried(connection) == ["55P03", "55P03"])
            time.sleep(1)  # many tries more
            assert scores(connection) == {0: 400 - free, 1: free}
            assert tried(connection) == ["55P03", "55P03"]
            release()
        assert execution.status == "completed"
        assert scores(connection) == {1: 400}
        taken = attempts(connection)
        assert (taken[0], taken[-1]) == (1, 1)
        assert min(taken[1:-1]) > 1
        assert topics(connection).get("batch.split", 0) == (0 if setting == "lock_timeout" else 2)
        check_invariants(connection, ledger=ledger, tables=["places"])


def tried(connection: Connection[DictRow]) -> list[str]:
    """Give the faults that open units have met."""
    rows = connection.execute(
        "SELECT last_error FROM action_ledger.work_queue WHERE last_error IS NOT NULL"
    ).fetchall()
    return [row["last_error"] for row in rows]


@pytest.mark.fault(6)
def test_patience_outlasts_a_long_foreign_transaction(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that somebody else holds is no fault of the batch: it does not fail for it."""
    monkeypatch.setattr(loop, "LONGEST_DELAY", 0.01)
    make_places(connection, 100)
    default(connection, "lock_timeout", "10ms")
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 100).submit()
        held = "UPDATE places SET name = 'mine' WHERE id = 50"
        with (
            foreign(database_url, held) as release,
            working(lambda: ledger.worker().finish(execution.id)),
        ):
            time.sleep(1)
            release()
        assert execution.status == "completed"
        assert attempts(connection)[0] > 12
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(6)
def test_foreign_transaction_stops_one_execution_only(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """A batch that waits for a row holds neither the append lock nor anything else that others need."""
    make_places(connection, 400)
    make_places(connection, 400, table="others")
    with open_ledger(database_url) as ledger:
        stuck = add_one(ledger, 100).submit()
        free = add_one(ledger, 100, "others").submit()
        with (
            foreign(database_url, "UPDATE places SET name = 'mine' WHERE id = 50") as release,
            working(lambda: ledger.worker().finish(stuck.id)),
        ):
            until(lambda: waiting(connection) == 1)
            ledger.worker().finish(free.id)
            assert free.status == "completed"
            ledger.worker().step(
                stuck.id
            )  # the batches of the stuck one that nobody stands in front of
            assert add_one(ledger, 400, "others").run().status == "completed"
            assert stuck.progress().applied == 100
            release()
        assert stuck.status == "completed"
        assert scores(connection) == {1: 400}
        check_invariants(connection, ledger=ledger, tables=["places", "others"])


@pytest.mark.fault(6)
def test_append_lock_held_by_somebody_else(
    database_url: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer does not wait for its turn for ever, and its work is done in the end."""
    monkeypatch.setenv("ACTION_LEDGER_APPEND_LOCK_TIMEOUT_MS", "50")
    monkeypatch.setattr(loop, "LONGEST_DELAY", 0.05)
    make_places(connection, 400)
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 100).submit()
        held = "LOCK TABLE action_ledger.stored_events IN EXCLUSIVE MODE"
        with (
            foreign(database_url, held) as release,
            working(lambda: ledger.worker().finish(execution.id)),
        ):
            until(lambda: "55P03" in tried(connection))
            assert scores(connection) == {0: 400}
            release()
        assert execution.status == "completed"
        assert scores(connection) == {1: 400}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(9)
@pytest.mark.parametrize("step", ["batch.claimed", "batch.applied", "batch.appended"])
def test_nothing_waits_for_a_queue_row_under_the_append_lock(
    database_url: str, connection: Connection[DictRow], step: str
) -> None:
    """While a worker stands still with its queue row, at any step before the append lock, others go on."""
    make_places(connection, 1_000)
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 100).submit()
        ledger.worker().step(execution.id)

        def meanwhile() -> None:
            if step == "batch.appended":  # it has the append lock: the others get as far as that
                with ledger.store.rehearsal() as transaction:
                    actions = [action.name for action in ledger.actions]
                    assert claim(transaction, job=execution.id, queues=None, actions=actions)
                return
            with working(*[lambda: drain(ledger, execution.id)] * 2):
                pass
            assert execution.progress().applied == 900

        with struck(step, 1, meanwhile):
            ledger.worker().finish(execution.id)
        assert execution.status == "completed"
        assert scores(connection) == {1: 1_000}
        check_invariants(connection, ledger=ledger, tables=["places"])


def drain(ledger: Ledger, job: UUID) -> None:
    """Do every unit that is free."""
    worker = ledger.worker()
    while worker.step(job):
        pass
