"""Batches that are split: for the pace, for the rate, and after faults that smaller ones may not meet."""

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from action_ledger.domain import col
from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import CancelExecution
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.workers import work
from action_ledger.workers.steps import strike
from tests.crash.test_contention import default
from tests.images import rows_now
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.splits import splits

SLEEP = "PERFORM pg_sleep(30)"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "LONGEST_PAUSE", 0.01)


def trigger(connection: Connection[DictRow], body: str) -> None:
    """Let something happen before a row is updated."""
    connection.execute(
        "CREATE OR REPLACE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {body}; RETURN new; END $$"
    )
    connection.execute(
        "CREATE OR REPLACE TRIGGER meddle BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION meddle()"
    )


def add_one(ledger: Ledger, size: int = PLACES) -> Request:
    return ledger.on("places").all().update(score=col("score") + 1).by("a").batch_size(size)


def taken_back(ledger: Ledger, connection: Connection[DictRow], before: object) -> None:
    """Undo the newest execution, redo that and undo it again: the table is as it was each time."""
    execution = ledger.execution(ledger.executions()[0].id)
    after = rows_now(connection, "places")
    undo = execution.undo(by="b").run()
    assert rows_now(connection, "places") == before
    redo = undo.redo(by="b").run(workers=2)
    assert rows_now(connection, "places") == after
    redo.redo(by="b").run()
    assert rows_now(connection, "places") == before
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.every_postgres
def test_a_hanging_record_is_found_by_halving(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    """57014: the record that hangs fails with its SQLSTATE, and the others do not."""
    before = rows_now(connection, places)
    trigger(connection, f"IF new.id = 37 THEN {SLEEP}; END IF")
    default(connection, "statement_timeout", "300ms")
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger, 64).run()
        assert execution.status == "completed"
        assert execution.progress().applied == PLACES - 1
        (failed,) = execution.failures()
        assert (failed.key, failed.sqlstate, failed.batch) == (("37",), "57014", 1)
        assert splits(connection) == [(1, "timed_out", 64 >> n, 2) for n in range(6)]
        keys = [int(change["key"][0]) for change in execution.changes()]
        assert sorted(keys) == [n for n in range(1, PLACES + 1) if n != 37]
        check_invariants(connection, ledger=ledger, tables=["places"])
        connection.execute("DROP TRIGGER meddle ON places")
        taken_back(ledger, connection, before)


def test_a_run_that_fits_one_batch_finds_it_too(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    trigger(connection, f"IF new.id = {PLACES} THEN {SLEEP}; END IF")
    default(connection, "statement_timeout", "300ms")
    with open_ledger(database_url) as ledger:
        execution = ledger.on(places).keys([1, PLACES]).update(score=0).by("a").run()
        assert [failed.key for failed in execution.failures()] == [(str(PLACES),)]
        assert splits(connection) == [(1, "timed_out", 2, 2)]
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.usefixtures("places")
def test_the_time_of_a_whole_transaction_is_as_good_a_reason(
    database_url: str, connection: Connection[DictRow]
) -> None:
    """25P04 ends the session too. No statement of it was too slow by itself."""
    trigger(connection, "PERFORM pg_sleep(0.02)")
    default(connection, "transaction_timeout", "1s")
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger).run()
        assert (execution.status, execution.progress().applied) == ("completed", PLACES)
        assert (1, "timed_out", PLACES, 2) in splits(connection)
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("limit", ["statement_timeout", "transaction_timeout"])
def test_a_single_record_that_waits_is_not_blamed(
    database_url: str, connection: Connection[DictRow], places: str, limit: str
) -> None:
    """Its first time-out may be a wait for somebody else's lock; so it is tried again, and then that is known."""
    default(connection, limit, "300ms")
    with open_ledger(database_url) as ledger, psycopg.connect(database_url) as outsider:
        execution = ledger.on(places).keys([1]).update(score=0).by("a").submit()
        outsider.execute(f"SET {limit} = 0".encode())
        outsider.commit()
        outsider.execute("UPDATE places SET note = 'mine' WHERE id = 1")
        worker = ledger.worker()
        assert worker.step(execution.id)
        assert execution.progress().pending == 1
        outsider.commit()
        worker.finish(execution.id)
        assert execution.progress().applied == 1
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_deadlock_with_ordered_rows(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """The first 40P01 lets the rows be taken in order; one that comes all the same splits the batch."""
    before = rows_now(connection, places)
    trigger(
        connection,
        "IF (SELECT count(*) FROM action_ledger.key_sets WHERE split_from IS NOT NULL) = 0"
        " THEN RAISE 'crossed' USING ERRCODE = '40P01'; END IF",
    )
    execution = add_one(ledger).run()
    assert execution.status == "completed"
    assert splits(connection) == [(1, "deadlock", PLACES, 2)]
    connection.execute("DROP TRIGGER meddle ON places")
    taken_back(ledger, connection, before)


@pytest.mark.parametrize("sqlstate", ["53200", "53400"])
def test_too_large_for_the_server(
    ledger: Ledger, connection: Connection[DictRow], places: str, sqlstate: str
) -> None:
    trigger(
        connection,
        "IF (SELECT max(records) FROM action_ledger.work_queue) > 30"
        f" THEN RAISE 'out of memory' USING ERRCODE = '{sqlstate}'; END IF",
    )
    before = rows_now(connection, places)
    execution = add_one(ledger).submit()
    ledger.worker().finish(execution.id)
    assert execution.progress().applied == PLACES
    found = splits(connection)
    assert found[0] == (1, "too_large", PLACES, 2)
    assert {reason for _, reason, _, _ in found} == {"too_large"}
    connection.execute("DROP TRIGGER meddle ON places")
    taken_back(ledger, connection, before)


def test_a_change_of_keys_is_never_split(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """It would meet a record again under its new key."""
    before = rows_now(connection, places)
    execution = (
        ledger.on(places)
        .all()
        .update(id=col("id") + 1000)
        .by("a")
        .rate(5)
        .adaptive(seconds=0.1, minimum=1, maximum=10)
        .submit()
    )
    execution.finish()
    assert execution.progress().applied == PLACES
    assert splits(connection) == []
    taken_back(ledger, connection, before)


def test_parts_share_the_number_of_their_batch(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """An undo of batch 2 takes all its parts back; history and changes know them; the audit tells of the split."""
    execution = add_one(ledger, 40).adaptive(seconds=60, minimum=1, maximum=40).submit()
    worker = ledger.worker()
    assert worker.step(execution.id)  # plans
    assert worker.step(execution.id)
    # The second batch goes in parts of 10: by a speed that says so.
    connection.execute(
        "UPDATE action_ledger.paces SET records_per_second = 10 / 60.0 WHERE job_id = %s",
        [execution.id],
    )
    worker.finish(execution.id)
    assert {number for number, *_ in splits(connection)} >= {2}
    numbers = [change["batch"] for change in execution.changes()]
    assert numbers == sorted(numbers)
    undo = execution.undo(by="b").batches([2]).run()
    assert undo.progress().applied == 40
    rows = connection.execute("SELECT id FROM places WHERE score = id ORDER BY id").fetchall()
    assert [row["id"] for row in rows] == list(range(41, 81))
    assert [entry.direction for entry in ledger.history(places, 50)] == ["do", "undo"]
    topics = [entry.topic for entry in ledger.audit(execution_id=execution.id)]
    assert "batch.split" in topics
    ledger.projections.rebuild(["progress"])
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_no_split_after_a_cancel(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """What was cut is not appended when the execution was stopped meanwhile."""
    execution = ledger.on(places).all().update(score=0).by("a").rate(1).submit()
    worker = ledger.worker()
    assert worker.step(execution.id)

    def cancel(reached: str) -> None:
        if reached == "batch.cut":
            strike.set(None)
            ledger.handle(
                CancelExecution(
                    command_id=uuid7(), actor=Actor(subject="b"), execution_id=execution.id
                )
            )

    token = strike.set(cancel)
    try:
        worker.step(execution.id)
    finally:
        strike.reset(token)
    assert execution.status == "cancelled"
    assert splits(connection) == []
    assert not connection.execute("SELECT FROM action_ledger.work_queue").fetchall()


def test_composite_and_odd_keys_are_cut_as_they_are(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    connection.execute(
        "CREATE TABLE odd (name text, at timestamptz, n numeric(9, 2), score int, PRIMARY KEY (name, at, n))"
    )
    connection.execute(
        "INSERT INTO odd SELECT (ARRAY['a,b', '', 'NULL', '{x}', 'q\"\\', ' '])[i %% 6 + 1],"
        " timestamptz '2020-01-01' + i * interval '1 day', i / 4.0, i FROM generate_series(1, %s) i",
        [PLACES],
    )
    before = rows_now(connection, "odd")
    execution = (
        ledger.on("odd").all().update(score=0).by("a").rate(1_000).batch_size(PLACES).submit()
    )
    worker = ledger.worker()
    worker.step(execution.id)
    with psycopg.connect(connection.info.dsn, autocommit=True) as outsider:
        outsider.execute("UPDATE action_ledger.view_executions_g1 SET rate = 8")
        worker.step(execution.id)
        outsider.execute("UPDATE action_ledger.view_executions_g1 SET rate = 1000")
    worker.finish(execution.id)
    assert splits(connection) == [(1, "rate", PLACES, 7)]
    assert execution.progress().applied == PLACES
    check_invariants(connection, ledger=ledger, tables=["odd"])
    execution.undo(by="b").run()
    assert rows_now(connection, "odd") == before
