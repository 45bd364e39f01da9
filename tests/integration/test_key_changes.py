"""Changes of keys: what cannot be is refused before anything is written, or given up soon."""

import time

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import DatabaseRefused, InvalidParameters
from action_ledger.ops import Ledger
from action_ledger.workers.applier import MOST_MOVES_FAILED


@pytest.fixture
def numbers(connection: Connection[DictRow]) -> Connection[DictRow]:
    connection.execute("CREATE TABLE numbers (id int PRIMARY KEY, v int)")
    connection.execute("INSERT INTO numbers SELECT i, i FROM generate_series(1, 20000) i")
    return connection


def ids(connection: Connection[DictRow]) -> list[int]:
    return [row["id"] for row in connection.execute("SELECT id FROM numbers ORDER BY id")]


def test_one_constant_is_no_key_of_many(ledger: Ledger, numbers: Connection[DictRow]) -> None:
    before = ids(numbers)
    for request in (
        ledger.on("numbers").all().update(id=1),
        ledger.on("numbers").where(col("id") < 3).update(id=30_000),
    ):
        started = time.monotonic()
        with pytest.raises(InvalidParameters, match="one constant cannot be the key"):
            request.by("t").run()
        with pytest.raises(InvalidParameters, match="one constant cannot be the key"):
            request.by("t").preview()
        assert time.monotonic() - started < 10
    submitted = ledger.on("numbers").all().update(id=1).by("t").submit()
    ledger.worker().finish(submitted.id)
    assert (submitted.status, submitted.row()["error"]) == ("failed", "invalid_parameters")
    assert ids(numbers) == before
    assert ledger.executions()[0].id == submitted.id


def test_one_record_may_be_given_a_key(ledger: Ledger, numbers: Connection[DictRow]) -> None:
    for choice in (ledger.on("numbers").keys([1]), ledger.on("numbers").where(col("v") == 2)):
        key = 30_000 + len(ledger.executions())
        assert choice.update(id=key).by("t").run().progress().applied == 1
    assert ids(numbers)[-2:] == [30_000, 30_001]


def test_a_change_of_keys_that_cannot_be_is_given_up(
    ledger: Ledger, numbers: Connection[DictRow]
) -> None:
    before = ids(numbers)
    request = ledger.on("numbers").where(col("id") > MOST_MOVES_FAILED)
    with pytest.raises(DatabaseRefused, match="duplicate key"):
        request.update(id=col("id") % 7).by("t").run()
    assert ids(numbers) == before
    few = ledger.on("numbers").where(col("id") > 19_990).update(id=col("id") - 19_000).by("t").run()
    assert (few.status, few.progress().failed) == ("completed", 10)
