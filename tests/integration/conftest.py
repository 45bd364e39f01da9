"""Fixtures of tests that go the whole way: a ledger on the test's own database, and a table to act on."""

from collections.abc import Generator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger, Settings, open_ledger
from tests.dump import assert_at_rest

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
