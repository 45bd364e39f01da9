"""The library's recorder: the protected names that ours calls, its own test cases, and the order of positions."""

import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import ModuleType
from typing import Any
from unittest import TestCase
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing import postgres
from eventsourcing.persistence import IntegrityError, StoredEvent
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.ops.database import Database
from action_ledger.projections.recorder import Datastore, Recorder

WRITERS, TRANSACTIONS = 6, 25


def library_cases() -> Any:
    """Import the library's test cases. They name a cipher, of an extra, that none of those used here needs."""
    cipher: Any = ModuleType("eventsourcing.cipher")
    cipher.AESCipher = object
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "eventsourcing.cipher", cipher)
        return importlib.import_module("eventsourcing.tests.persistence")


library = library_cases()


class Translating(Datastore):
    """Gives driver errors the library's names, as its own datastore does; the ledger does that at its edge."""

    @contextmanager
    def get_connection(self) -> Generator[Connection[DictRow]]:
        try:
            with super().get_connection() as connection:
                yield connection
        except psycopg.IntegrityError as error:
            raise IntegrityError(str(error)) from error


def append(
    recorder: Recorder, cursor: psycopg.Cursor[DictRow], events: Sequence[StoredEvent]
) -> list[tuple[int, datetime]]:
    recorder.lock(cursor, then=sql.SQL("SELECT 1 AS one"))
    assert cursor.fetchall() == [{"one": 1}]
    return recorder.append(cursor, events)


@pytest.fixture
def recorder(database_url: str) -> Generator[Recorder]:
    with Database(database_url) as database:
        yield Recorder(Translating(database.connection, "action_ledger"), lock_timeout_ms=10_000)


NAMES: dict[str, tuple[str, ...]] = {
    "_insert_stored_events": ("self", "curs", "stored_events", "kwargs"),
    "_insert_tracking": ("self", "curs", "tracking"),
    "_lock_table": ("self", "curs"),
    "_max_tracking_id": ("self", "application_name", "curs"),
    "_notify_channel": ("self", "curs"),
}


@pytest.mark.parametrize("name", NAMES)
def test_protected_method(name: str) -> None:
    method = getattr(postgres.PostgresProcessRecorder, name)
    assert tuple(inspect.signature(method).parameters) == NAMES[name]


def test_protected_attributes(recorder: Recorder) -> None:
    stock: Any = postgres.PostgresProcessRecorder(recorder.datastore)
    returning = "RETURNING notification_id"
    assert stock.insert_events_statement.as_string().endswith(returning)
    assert recorder.insert_events_statement.as_string().endswith(f"{returning}, recorded_at")
    assert len(stock.lock_table_statements) == len(recorder.lock_table_statements) == 2
    assert recorder.channel_name == recorder.events_table_name == "stored_events"
    assert recorder.tracking_table_name == "notification_tracking"


def test_an_append_locks_notifies_and_inserts(recorder: Recorder) -> None:
    """In this order, so that positions are taken under the lock."""
    said: list[str] = []

    class Listening(psycopg.Cursor[DictRow]):
        def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            said.append(query.as_string() if hasattr(query, "as_string") else str(query))
            return super().execute(query, *args, **options)

    with recorder.datastore.get_connection() as connection, connection.transaction():
        append(recorder, Listening(connection), [event(uuid4())])
    taking, inserting = said
    words = [text.split()[0] for text in (*taking.split("; "), inserting)]
    assert words == ["SET", "LOCK", "NOTIFY", "SELECT", "INSERT"]


CASES: list[tuple[type[TestCase], str]] = [
    (library.ApplicationRecorderTestCase, "test_insert_select"),
    (library.ProcessRecorderTestCase, "test_insert_select"),
    (library.ProcessRecorderTestCase, "test_has_tracking_id"),
    (library.ProcessRecorderTestCase, "test_raises_when_lower_inserted_later"),
    (library.TrackingRecorderTestCase, "test_insert_tracking"),
    (library.TrackingRecorderTestCase, "test_wait"),
]
"""Left out: those of a recorder that gives no positions, those that begin streams at version 0, which the ledger's table refuses, and those for speed."""


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    ("case", "name"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_case_of_the_library(recorder: Recorder, case: type[TestCase], name: str) -> None:
    with recorder.datastore.get_connection() as connection:
        connection.execute("ALTER SEQUENCE action_ledger.stored_events_notification_id_seq RESTART")

    class Ours(case):  # type: ignore[misc, valid-type]
        INITIAL_VERSION = 1

        def create_recorder(self) -> Recorder:
            return recorder

    Ours(name).debug()


def event(stream: UUID, version: int = 1) -> StoredEvent:
    return StoredEvent(stream, version, "a topic", b"{}")


def test_positions_are_in_commit_order(recorder: Recorder) -> None:
    """A reader that goes on from the highest position it has seen misses nothing, under concurrent appends."""
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while True:
            last = done.is_set()
            while block := recorder.select_notifications(
                seen[-1] if seen else None, 10, inclusive_of_start=False
            ):
                seen.extend(one.id for one in block)
            if last:
                return

    def write() -> None:
        for n in range(TRANSACTIONS):
            with (
                recorder.datastore.get_connection() as connection,
                suppressed(),
                connection.transaction(),
            ):
                stream = uuid4()
                events = [event(stream, version) for version in range(1, n % 4 + 2)]
                append(recorder, connection.cursor(), events)
                if n % 5 == 4:
                    raise Given  # rolled back: its positions are given to nobody

    reader = threading.Thread(target=read)
    reader.start()
    run_all([write] * WRITERS)
    done.set()
    reader.join()
    with recorder.datastore.get_connection() as connection:
        rows = connection.execute(
            "SELECT notification_id, recorded_at FROM action_ledger.stored_events ORDER BY 1"
        ).fetchall()
    assert seen == [row["notification_id"] for row in rows]
    times = [row["recorded_at"] for row in rows]
    assert times == sorted(times)
    assert len(rows) == WRITERS * sum(n % 4 + 1 for n in range(TRANSACTIONS) if n % 5 != 4)


def test_time_is_that_of_the_append_not_of_the_begin(recorder: Recorder) -> None:
    """A transaction that began first and appends last has the later time."""
    with (
        recorder.datastore.get_connection() as early,
        recorder.datastore.get_connection() as late,
        early.transaction(),
    ):
        early.execute("SELECT 1")
        with late.transaction():
            ((first, at_first),) = append(recorder, late.cursor(), [event(uuid4())])
        ((second, at_second),) = append(recorder, early.cursor(), [event(uuid4())])
    assert second > first
    assert at_second > at_first


def test_a_second_writer_of_a_version_is_refused(recorder: Recorder) -> None:
    stream = uuid4()
    with recorder.datastore.get_connection() as connection, connection.transaction():
        append(recorder, connection.cursor(), [event(stream)])
    with (
        pytest.raises(IntegrityError),
        recorder.datastore.get_connection() as connection,
        connection.transaction(),
    ):
        append(recorder, connection.cursor(), [event(stream)])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE action_ledger.stored_events SET topic = 'another'",
        "DELETE FROM action_ledger.stored_events",
        "TRUNCATE action_ledger.stored_events",
    ],
)
def test_events_cannot_be_changed(
    recorder: Recorder, connection: Connection[DictRow], statement: Any
) -> None:
    recorder.insert_events([event(uuid4())])
    with pytest.raises(psycopg.IntegrityError, match="immutable"):
        connection.execute(statement)


class Given(Exception):  # noqa: N818 - a writer's change of mind
    """Roll back."""


@contextmanager
def suppressed() -> Generator[None]:
    try:
        yield
    except Given:
        return


def run_all(works: list[Callable[[], None]]) -> None:
    """Do things at once; what one raises is raised here."""
    died: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            died.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if died:
        raise died[0]
