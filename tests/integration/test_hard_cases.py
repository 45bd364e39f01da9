"""Cases in which the order of things matters: keys that move, plans that fail, tables altered at the wrong moment."""

import threading
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import InvalidParameters, SchemaDrift
from action_ledger.ops import Ledger
from action_ledger.workers.steps import strike
from tests.exact import run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def numbers(connection: Connection[DictRow]) -> Connection[DictRow]:
    """Numbers 1 to 30, each with a count of its changes."""
    run(
        connection,
        "CREATE TABLE numbers (id int PRIMARY KEY, v int NOT NULL DEFAULT 0, note text)",
        "INSERT INTO numbers (id) SELECT generate_series(1, 30)",
    )
    return connection


def rows(connection: Connection[DictRow], statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in connection.execute(statement.encode())]


def test_moved_records_are_changed_once(ledger: Ledger, numbers: Connection[DictRow]) -> None:
    request = ledger.on("numbers").where(col("id") <= 30)
    execution = (
        request.update(id=col("id") + 1000, v=col("v") + 1).by("t").batch_size(1).streaming().run()
    )
    assert execution.progress().applied == 30
    assert execution.progress().batches == 1, "a record could be met again under its new key"
    assert rows(numbers, "SELECT min(id) a, max(id) b, min(v) c, max(v) d FROM numbers") == [
        (1001, 1030, 1, 1)
    ]
    execution.undo(by="t").run()
    assert rows(numbers, "SELECT min(id) a, max(id) b, min(v) c, max(v) d FROM numbers") == [
        (1, 30, 0, 0)
    ]
    check_invariants(numbers)


def test_planning_that_fails_lets_its_batches_end(
    ledger: Ledger, numbers: Connection[DictRow]
) -> None:
    execution = (
        ledger.on("numbers")
        .where(col("note").is_null())
        .update(v=col("v") + 1)
        .by("t")
        .batch_size(3)
        .streaming()
        .submit()
    )
    worker = ledger.worker()
    assert worker.step(execution.id)  # four batches are cut off, and more are to come
    numbers.execute("ALTER TABLE numbers DROP COLUMN note")
    worker.finish(execution.id)
    progress = execution.progress()
    assert (execution.status, progress.pending, progress.total_final) == ("failed", 0, True)
    assert progress.total == progress.applied + progress.failed + progress.skipped == 12
    assert execution.row()["error"] == "unknown_column"
    check_invariants(numbers)


def test_the_database_is_held_still_while_a_change_is_compiled(
    ledger: Ledger, numbers: Connection[DictRow], database_url: str
) -> None:
    """A column that is added between the catalog and the statement would be lost by a delete."""
    execution = ledger.on("numbers").all().delete(hard=True).by("t").submit()
    worker = ledger.worker()
    worker.step(execution.id)
    waited: list[bool] = []

    def alter() -> None:
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SET lock_timeout = '200ms'")
            try:
                other.execute("ALTER TABLE numbers ADD COLUMN precious text DEFAULT 'diamond'")
                waited.append(False)
            except psycopg.errors.LockNotAvailable:
                waited.append(True)

    def hook(step: str) -> None:
        if step == "batch.applied":
            thread = threading.Thread(target=alter)
            thread.start()
            thread.join()

    token = strike.set(hook)
    try:
        worker.finish(execution.id)
    finally:
        strike.reset(token)
    assert waited == [True]
    execution.undo(by="t").run()
    assert rows(numbers, "SELECT count(*) FROM numbers") == [(30,)]


def test_families_come_back_in_the_order_in_which_they_went(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """Children have the lower keys, so they go in batch 1 and their parents in batch 2."""
    run(
        connection,
        "CREATE TABLE people (id int PRIMARY KEY, parent int REFERENCES people)",
        "INSERT INTO people SELECT i + 10, NULL FROM generate_series(1, 10) i",
        "INSERT INTO people SELECT i, i + 10 FROM generate_series(1, 10) i",
    )
    execution = ledger.on("people").all().delete(hard=True).by("t").batch_size(10).run()
    assert execution.progress().applied == 20
    undo = execution.undo(by="t").run(workers=2)
    assert (undo.progress().applied, undo.progress().failed) == (20, 0)
    redo = undo.redo(by="t").run(workers=2)
    assert (redo.progress().applied, redo.progress().failed) == (20, 0)
    assert rows(connection, "SELECT count(*) FROM people") == [(0,)]
    check_invariants(connection)


def test_a_change_set_cannot_be_altered_unnoticed(
    ledger: Ledger, numbers: Connection[DictRow]
) -> None:
    """The digest in the event is over what was done too, not over the values alone."""
    execution = ledger.on("numbers").where(col("id") < 5).update(v=7, note="x").by("t").run()
    (event,) = [
        row["digest"]
        for row in numbers.execute(
            "SELECT convert_from(state, 'UTF8')::jsonb ->> 'change_digest' AS digest"
            " FROM action_ledger.stored_events WHERE topic = 'batch.completed'"
        )
    ]
    assert execution.progress().applied == 4
    digest = "SELECT action_ledger.change_digest(c) FROM action_ledger.change_sets c"
    assert rows(numbers, digest) == [(event,)]
    for alteration in (
        b"kind = 'delete'",
        b"columns = ARRAY['note', 'v']",
        b"acted = ARRAY['v']",
        b"types = ARRAY['text', 'text']",
    ):
        with numbers.transaction(force_rollback=True):
            numbers.execute(b"UPDATE action_ledger.change_sets SET " + alteration)
            assert rows(numbers, digest) != [(event,)]


def test_outcomes_have_a_digest(ledger: Ledger, numbers: Connection[DictRow]) -> None:
    run(numbers, "ALTER TABLE numbers ADD CHECK (id <> 7 OR v = 0)")
    ledger.on("numbers").where(col("id") < 10).update(v=1).by("t").run()
    (row,) = numbers.execute(
        "SELECT convert_from(state, 'UTF8')::jsonb ->> 'outcomes_digest' AS digest"
        " FROM action_ledger.stored_events WHERE topic = 'batch.completed'"
    )
    found = (
        "SELECT action_ledger.digest(''::bytea, array_agg(action_ledger.outcome_digest(o) ORDER BY part))"
        " FROM action_ledger.record_outcomes o"
    )
    assert rows(numbers, found) == [(row["digest"],)]


def test_history_of_texts_in_another_order(ledger: Ledger, connection: Connection[DictRow]) -> None:
    """Where the server knows ICU: its order is another than that of the database's own collation."""
    (known,) = connection.execute(
        "SELECT count(*) AS icu FROM pg_collation WHERE collname = 'en-x-icu'"
    )
    collation = "en-x-icu" if known["icu"] else "POSIX"
    connection.execute(
        f'CREATE TABLE words (w text COLLATE "{collation}" PRIMARY KEY, v int)'.encode()
    )
    run(connection, "INSERT INTO words VALUES ('a', 0), ('B', 0), ('c', 0), ('D', 0)")
    ledger.on("words").all().update(v=1).by("t").run()
    assert [len(ledger.history("words", word)) for word in ("a", "B", "c", "D")] == [1, 1, 1, 1]


def test_the_log_refuses_sessions_that_replicate(
    ledger: Ledger, numbers: Connection[DictRow]
) -> None:
    ledger.on("numbers").keys([1]).update(v=1).by("t").run()
    with numbers.transaction():
        numbers.execute("SET LOCAL session_replication_role = replica")
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation), numbers.transaction():
            numbers.execute("DELETE FROM action_ledger.stored_events")


def test_what_could_not_be_taken_back_is_refused(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    columns = ", ".join(f"c{n} int" for n in range(600))
    connection.execute(f"CREATE TABLE wide (id int PRIMARY KEY, {columns})".encode())
    connection.execute("INSERT INTO wide (id) VALUES (1)")
    with pytest.raises(InvalidParameters, match="irreversible"):
        ledger.on("wide").all().delete(hard=True).by("t").run()
    assert ledger.executions() == []
    assert ledger.on("wide").all().delete(hard=True).by("t").irreversible().run().status == (
        "completed"
    )


def test_another_key_is_noticed(ledger: Ledger, numbers: Connection[DictRow]) -> None:
    """Stored keys would be taken for values of the new key, and hit other rows."""
    done = ledger.on("numbers").where(col("id") <= 5).update(v=1).by("t").run()
    planned = ledger.on("numbers").keys([6, 7]).update(v=1).by("t").submit()
    run(
        numbers,
        "UPDATE numbers SET v = 31 - id",
        "ALTER TABLE numbers DROP CONSTRAINT numbers_pkey, ADD PRIMARY KEY (v)",
    )
    ledger.worker().finish(planned.id)
    assert (planned.status, planned.row()["error"]) == ("failed", "schema_drift")
    with pytest.raises(SchemaDrift):
        done.undo(by="t").run()
    assert rows(numbers, "SELECT count(*) FROM numbers WHERE v = 31 - id") == [(30,)]
