"""Fixtures of tests that go the whole way: a ledger on the test's own database, and a table to act on."""

from collections.abc import Generator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import ExecutionHandle, Ledger, Settings, open_ledger
from action_ledger.projections.audit import Audit
from tests.dump import assert_at_rest
from tests.exact import run
from tests.items import NAME
from tests.journal import Journal, install, status

PLACES = 100


@pytest.fixture
def ledger(database_url: str) -> Generator[Ledger]:
    """A ledger, which must have given every connection back at the end of the test."""
    settings = Settings.model_validate({"pool_max_size": 12, "pool_timeout_seconds": 10})
    with open_ledger(database_url, settings=settings) as opened:
        yield opened
        assert_at_rest(opened)


@pytest.fixture
def places(connection: Connection[DictRow]) -> str:
    """A table of places with ids from 1 to PLACES, and a column for each convention; its name."""
    connection.execute(
        "CREATE TABLE places (id bigint PRIMARY KEY, name varchar(40) NOT NULL, country text NOT NULL,"
        " score bigint NOT NULL, note text, deleted_at timestamptz, archived_at timestamptz,"
        " archive_reason text)"
    )
    connection.execute(
        "INSERT INTO places (id, name, country, score)"
        " SELECT i, 'place ' || i, CASE WHEN i %% 2 = 0 THEN 'FR' ELSE 'DE' END, i"
        " FROM generate_series(1, %s) i",
        [PLACES],
    )
    return "public.places"


@pytest.fixture
def items(connection: Connection[DictRow]) -> Connection[DictRow]:
    """Items 1 to 12; a session that sees them."""
    run(
        connection,
        "CREATE TABLE items (id int PRIMARY KEY, status text NOT NULL, price numeric CHECK (price <> 13), note text,"
        " other text)",
        "INSERT INTO items SELECT i, 'new', 1.0, 'n' || i, 'x' FROM generate_series(1, 12) i",
    )
    return connection


@pytest.fixture
def done(ledger: Ledger, items: Connection[DictRow]) -> ExecutionHandle:
    """An update of three columns of all items, in batches of 5."""
    assert items is not None
    request = ledger.on(NAME).all().update(status="old", price=2, note=None)
    return request.by("tester").batch_size(5).run()


@pytest.fixture
def journal(ledger: Ledger, connection: Connection[DictRow]) -> Generator[None]:
    """The ledger follows with the journal too, and it must have taken in all that is not parked."""
    install(connection)
    ledger.store.followed = (Audit(), Journal())
    yield
    parked = "SELECT FROM action_ledger.parked_streams k WHERE k.originator_id = e.originator_id"
    missing = connection.execute(
        "SELECT e.notification_id FROM action_ledger.stored_events e"
        " FULL JOIN action_ledger.view_journal_g1 j ON j.position = e.notification_id"
        " AND j.stream = e.originator_id AND j.version = e.originator_version AND j.topic = e.topic"
        f" WHERE (e IS NULL OR j IS NULL) AND NOT EXISTS ({parked} AND k.position <= e.notification_id)"
    ).fetchall()
    assert not missing or status(ledger).generation > 1


@pytest.fixture
def forbidden(connection: Connection[DictRow], places: str) -> str:
    """Let three of the places take no score of a thousand more."""
    connection.execute(
        "ALTER TABLE places ADD CONSTRAINT forbidden CHECK (score NOT IN (1015, 1025, 1026))"
    )
    return places
