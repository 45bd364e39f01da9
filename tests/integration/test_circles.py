"""Rows that refer to each other in a circle come back together, since none of them can come first."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from tests.dump import dump_table
from tests.exact import run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres

TABLES = ("public.people", "public.homes", "public.pets")


@pytest.fixture(
    params=["NOT DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"], ids=["not deferrable", "deferred"]
)
def people(request: pytest.FixtureRequest, connection: Connection[DictRow]) -> Connection[DictRow]:
    """Everybody has homes and one that is his own; pets have a human, a home and, some, another pet."""
    run(
        connection,
        "CREATE TABLE people (id int PRIMARY KEY, name text UNIQUE, home int NOT NULL)",
        "CREATE TABLE homes (id int PRIMARY KEY, owner int NOT NULL, street text)",
        "CREATE TABLE pets (id int PRIMARY KEY, human int REFERENCES people ON DELETE CASCADE,"
        " home int REFERENCES homes ON DELETE CASCADE, friend int REFERENCES pets ON DELETE CASCADE)",
        "INSERT INTO people SELECT i, 'human ' || i, i * 10 FROM generate_series(1, 8) i",
        "INSERT INTO homes SELECT i, i / 10, 'street ' || i FROM generate_series(10, 89) i",
        "INSERT INTO pets SELECT i, 1 + i % 8, 10 + i, 1 + i % 40 FROM generate_series(1, 40) i",
    )
    deferrable = request.param
    connection.execute(
        f"ALTER TABLE homes ADD FOREIGN KEY (owner) REFERENCES people ON DELETE CASCADE {deferrable}"
    )
    connection.execute(f"ALTER TABLE people ADD FOREIGN KEY (home) REFERENCES homes {deferrable}")
    return connection


def dump(connection: Connection[DictRow]) -> list[list[str]]:
    return [dump_table(connection, table) for table in TABLES]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_two_tables_that_want_for_each_other(
    ledger: Ledger, people: Connection[DictRow], size: int
) -> None:
    """No column is null meanwhile, and no constraint is deferred: it makes no difference."""
    run(people, "UPDATE pets SET friend = NULL WHERE id % 8 = 0")
    before = dump(people)
    execution = (
        ledger.on("people").keys([1, 2, 3, 4]).delete(hard=True).by("t").batch_size(size).run()
    )
    assert execution.progress().applied == 4
    after = dump(people)
    undo = execution.undo(by="t").run()
    assert [*undo.failures(), *undo.conflicts(), *undo.skipped()] == []
    assert (undo.progress().applied, undo.excepted) == (4, [])
    assert dump(people) == before
    redo = undo.redo(by="t").run()
    assert dump(people) == after
    redo.redo(by="t").run()
    assert dump(people) == before
    check_invariants(people, ledger=ledger, tables=TABLES)
