"""Record actions and the locks under which their functions are called: no edit is lost, and no frozen worker keeps one."""

import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import Parameters, col, record_action
from action_ledger.ops import Ledger
from tests.dump import assert_at_rest
from tests.integration.conftest import PLACES
from tests.integration.test_record_actions import opened, rows, run, skipped
from tests.invariants import check_invariants


@pytest.fixture
def ledger(database_url: str) -> Generator[Ledger]:
    with opened(database_url) as one:
        yield one
        assert_at_rest(one)


@pytest.mark.usefixtures("places")
def test_the_record_is_what_another_writer_left(
    ledger: Ledger, database_url: str, connection: Connection[DictRow]
) -> None:
    """Records are locked before they are read: one that waits for another's write is given as that is."""
    request = ledger.on("places").where(col("country") == "FR").apply("rename").by("u")
    execution = request.submit()
    ledger.worker().step(execution.id)
    with Connection[DictRow].connect(database_url) as other:
        other.execute("UPDATE places SET name = 'theirs' WHERE id = 2")
        other.execute("UPDATE places SET country = 'DE' WHERE id = 4")
        other.execute("DELETE FROM places WHERE id = 6")
        worker = threading.Thread(target=execution.finish)
        worker.start()
        time.sleep(0.3)
        other.commit()
    worker.join()
    now = rows(connection)
    assert now[2]["name"] == "theirs!"
    assert skipped(execution) == {4: "no_longer_matches", 6: "vanished"}
    assert execution.progress().applied == PLACES // 2 - 2
    check_invariants(connection, ledger=ledger, tables=["places"], touched=["4", "6"])


@pytest.mark.usefixtures("places")
def test_the_record_is_locked_while_the_function_has_it(
    database_url: str, connection: Connection[DictRow]
) -> None:
    begun, seen = threading.Event(), list[str]()

    @record_action
    def wait(record: dict[str, Any], _parameters: Parameters) -> Any:
        """Let somebody try to write the record meanwhile."""
        begun.set()
        time.sleep(0.5)
        seen.append("returned")
        return {"score": record["score"] + 1}

    connection.execute("CREATE TABLE child (place bigint REFERENCES places)")
    with opened(database_url, wait) as ledger:
        execution = ledger.on("places").keys([1]).apply("wait").by("u").submit()
        worker = threading.Thread(target=execution.finish)
        worker.start()
        begun.wait()
        connection.execute("INSERT INTO child VALUES (1)")  # which refers to it, and need not wait
        assert seen == []
        connection.execute("UPDATE places SET score = score + 10 WHERE id = 1")
        assert seen == ["returned"]
        worker.join()
        assert rows(connection)[1]["score"] == 12


@pytest.mark.usefixtures("places")
def test_a_page_may_take_longer_than_a_worker_may_be_silent(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """Half a lease period (0.5 s) is what a transaction may be idle for; signs of life come between the calls."""
    started = time.monotonic()
    execution = run(ledger, "rename", 30, seconds=0.06)
    assert time.monotonic() - started > 1.5
    assert execution.progress().applied == 30
    assert {event.event.attempt for event in completed(ledger, connection)} == {1}


def completed(ledger: Ledger, connection: Connection[DictRow]) -> Sequence[Any]:
    found = connection.execute(
        "SELECT DISTINCT originator_id FROM action_ledger.stored_events WHERE topic = 'batch.completed'"
    ).fetchall()
    with ledger.store.transaction() as transaction:
        streams = [
            ledger.store.read_stream(transaction.cursor, row["originator_id"]) for row in found
        ]
    return [each for stream in streams for each in stream if each.event.TOPIC == "batch.completed"]


@pytest.mark.usefixtures("places")
def test_the_limit_of_silence_is_as_before_when_it_appends(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """A worker that is frozen with the append lock is ended as soon as any other."""
    connection.execute("CREATE TABLE noted (place text, silence text)")
    connection.execute(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.noted"
        " VALUES (TG_TABLE_NAME, current_setting('idle_in_transaction_session_timeout'));"
        " RETURN NULL; END $$"
    )
    for table in ("places", "action_ledger.stored_events"):
        connection.execute(
            f"CREATE TRIGGER note AFTER INSERT OR UPDATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION note()".encode()
        )
    run(ledger, "rename", 10)
    noted = connection.execute("SELECT DISTINCT place, silence FROM noted").fetchall()
    assert {(row["place"], row["silence"]) for row in noted} == {
        ("places", "1s"),  # half a lease period, and what a call may take
        ("stored_events", "500ms"),
    }
