"""Rows that refer to each other in a circle come back together, since none of them can come first."""

import time
from collections import Counter
from typing import Any

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.ops import Ledger, open_ledger
from action_ledger.projections.store import Transaction
from action_ledger.workers.circle_statements import SQL
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


@pytest.mark.parametrize("size", [2, 100])
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


def test_one_that_the_database_refuses_leaves_the_others_alone(
    ledger: Ledger, people: Connection[DictRow]
) -> None:
    before = dump(people)
    execution = ledger.on("people").all().delete(hard=True).by("t").run()
    assert dump(people) == [[], [], []]
    run(
        people,
        "ALTER TABLE homes DISABLE TRIGGER ALL",
        "ALTER TABLE people DISABLE TRIGGER ALL",
        "INSERT INTO people VALUES (99, 'human 3', 990)",
        "INSERT INTO homes VALUES (990, 99, 'street 990')",
        "ALTER TABLE homes ENABLE TRIGGER ALL",
        "ALTER TABLE people ENABLE TRIGGER ALL",
    )
    undo = execution.undo(by="t").run()
    assert (undo.progress().applied, undo.progress().failed) == (7, 1)
    (failure,) = (one for one in undo.failures() if one.table is None)
    assert failure.key == ("3",)
    left = {one.table for one in undo.skipped() if one.reason == "parent_not_restored"}
    assert left == {"public.homes", "public.pets"}
    check_invariants(people, ledger=ledger, tables=TABLES)
    run(people, "ALTER TABLE people DISABLE TRIGGER ALL", "ALTER TABLE homes DISABLE TRIGGER ALL")
    run(people, "DELETE FROM people WHERE id = 99", "DELETE FROM homes WHERE id = 990")
    run(people, "ALTER TABLE people ENABLE TRIGGER ALL", "ALTER TABLE homes ENABLE TRIGGER ALL")
    assert execution.undo(by="t").run().progress().applied == 1
    assert dump(people) == before
    check_invariants(people, ledger=ledger, tables=TABLES)


def test_who_is_refused_for_another_row_of_the_circle_is_told_of_that(
    ledger: Ledger, people: Connection[DictRow]
) -> None:
    """Alone it would want for the other row, which is not what was wrong."""
    before = dump(people)
    execution = ledger.on("people").all().delete(hard=True).by("t").run()
    run(
        people,
        "ALTER TABLE homes ADD CONSTRAINT closed CHECK (street NOT IN ('street 30', 'street 71'))",
    )
    undo = execution.undo(by="t").run()
    failures = [one for one in undo.failures() if one.table is None]
    assert {(one.key, one.sqlstate, one.constraint) for one in failures} == {
        (("3",), "23514", "closed"),
        (("7",), "23514", "closed"),
    }
    assert all("closed" in (one.message or "") for one in failures)
    assert (undo.progress().applied, undo.progress().failed) == (6, 2)
    (told,) = people.execute(
        "SELECT convert_from(state, 'UTF8')::json -> 'sqlstates' AS codes FROM action_ledger.stored_events"
        " WHERE topic = 'batch.compensated'"
    ).fetchall()
    assert told["codes"] == Counter(one.sqlstate for one in undo.failures())
    check_invariants(people, ledger=ledger, tables=TABLES)
    run(people, "ALTER TABLE homes DROP CONSTRAINT closed")
    assert execution.undo(by="t").run().progress().applied == 2
    assert dump(people) == before
    check_invariants(people, ledger=ledger, tables=TABLES)


def test_by_keys_each_with_its_own_circle(ledger: Ledger, people: Connection[DictRow]) -> None:
    run(people, "UPDATE pets SET friend = NULL, home = human * 10")
    before = dump(people)
    execution = ledger.on("people").keys([1, 2, 3]).delete(hard=True).by("t").run()
    undo = execution.undo(by="t").keys([2]).run()
    assert (undo.progress().applied, [*undo.failures(), *undo.skipped()]) == (1, [])
    assert people.execute("SELECT count(*) AS n FROM homes WHERE owner < 4").fetchall() == [
        {"n": 10}
    ]
    assert execution.undo(by="t").run().progress().applied == 2
    assert dump(people) == before
    check_invariants(people, ledger=ledger, tables=TABLES)


def test_a_circle_that_wants_for_what_is_gone_says_so(
    ledger: Ledger, people: Connection[DictRow]
) -> None:
    run(
        people,
        "CREATE TABLE towns (id int PRIMARY KEY)",
        "INSERT INTO towns VALUES (1), (2)",
        "ALTER TABLE homes ADD COLUMN town int REFERENCES towns",
        "UPDATE homes SET town = 1 + owner % 2",
    )
    before = dump(people)
    execution = ledger.on("people").all().delete(hard=True).by("t").run()
    run(people, "DELETE FROM towns WHERE id = 2")
    undo = execution.undo(by="t").run()
    assert undo.progress().applied == 4
    assert {(one.key, one.sqlstate) for one in undo.failures() if one.table is None} == {
        ((str(n),), "23503") for n in (1, 3, 5, 7)
    }
    run(people, "INSERT INTO towns VALUES (2)")
    assert execution.undo(by="t").run().progress().applied == 4
    assert dump(people) == before
    check_invariants(people, ledger=ledger, tables=TABLES)


def test_triggers_write_along_and_keep_rows(ledger: Ledger, people: Connection[DictRow]) -> None:
    execution = ledger.on("people").all().delete(hard=True).by("t").run()
    run(
        people,
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN new.street := upper(new.street); RETURN CASE WHEN new.owner <> 5 THEN new END; END'",
        "CREATE TRIGGER meddle BEFORE INSERT ON homes FOR EACH ROW EXECUTE FUNCTION meddle()",
    )
    undo = execution.undo(by="t").run()
    assert undo.progress().applied == 7
    assert undo.excepted == ["public.homes.street"]
    assert [one.key for one in undo.failures() if one.table is None] == [("5",)]
    check_invariants(people, ledger=ledger, tables=TABLES)


@pytest.mark.parametrize("size", [1, 100])
def test_a_ring_within_one_table(
    ledger: Ledger, connection: Connection[DictRow], size: int
) -> None:
    """And one that refers to itself beside a row that is refused; and one with % in its names."""
    run(
        connection,
        'CREATE TABLE "ring%(s)" ("per%s" int PRIMARY KEY, "next" int REFERENCES "ring%(s)" ON DELETE CASCADE)',
        'INSERT INTO "ring%(s)" SELECT i, 1 + i % 30 FROM generate_series(1, 30) i',
        'INSERT INTO "ring%(s)" VALUES (31, 31), (32, 31), (33, 33)',
    )
    table = "public.ring%(s)"
    before = dump_table(connection, table)
    target = ledger.on('public."ring%(s)"')
    execution = target.keys([31, 7, 33]).delete(hard=True).by("t").batch_size(size).run()
    assert execution.progress().applied == 3
    assert dump_table(connection, table) == []
    undo = execution.undo(by="t").run()
    assert [*undo.failures(), *undo.conflicts(), *undo.skipped()] == []
    assert dump_table(connection, table) == before
    check_invariants(connection, ledger=ledger)


@pytest.mark.slow
def test_ten_thousand_circles_in_one_batch(ledger: Ledger, connection: Connection[DictRow]) -> None:
    """A plan that compares each row of one table with each of the other took minutes."""
    run(
        connection,
        "CREATE TABLE people (id int PRIMARY KEY, home int)",
        "CREATE TABLE homes (id int PRIMARY KEY, owner int REFERENCES people ON DELETE CASCADE)",
        "INSERT INTO people SELECT i, i FROM generate_series(1, 10000) i",
        "INSERT INTO homes SELECT i, 1 + (i - 1) % 10000 FROM generate_series(1, 20000) i",
        "ALTER TABLE people ADD FOREIGN KEY (home) REFERENCES homes",
        "CREATE INDEX ON homes (owner)",
        "CREATE INDEX ON people (home)",
        "ANALYZE people, homes",
    )
    began = time.monotonic()
    execution = ledger.on("people").all().delete(hard=True).by("t").batch_size(10_000).run()
    deleted = time.monotonic()
    undo = execution.undo(by="t").run()
    assert (undo.progress().applied, undo.children()["public.homes"].applied) == (10_000, 20_000)
    assert time.monotonic() - deleted < 15 * (deleted - began)


def test_no_statement_is_compiled_for_it(database_url: str, people: Connection[DictRow]) -> None:
    """The server's JIT compiler takes seconds for the statements of a circle, and they have few rows."""
    run(
        people,
        "ALTER TABLE people ADD jit text",
        "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN new.jit := current_setting('jit'); RETURN new; END $$",
        "CREATE TRIGGER look BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION look()",
    )
    name = sql.Identifier(people.info.dbname)
    for setting in ("jit = on", "jit_above_cost = 0"):
        people.execute(sql.SQL("ALTER DATABASE {} SET " + setting).format(name))
    with open_ledger(database_url) as ledger:
        execution = ledger.on("people").keys([1, 2]).delete(hard=True).by("t").run()
        assert execution.undo(by="t").run().progress().applied == 2
        with ledger.store.datastore.get_connection() as session:
            assert session.execute("SHOW jit").fetchall() == [{"jit": "on"}]
    rows = people.execute("SELECT DISTINCT jit FROM people WHERE id < 3").fetchall()
    assert rows == [{"jit": "off"}]


def test_many_that_are_refused_are_told_by_one_statement(
    ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        connection,
        "CREATE TABLE people (id int PRIMARY KEY, home int NOT NULL)",
        "CREATE TABLE homes (id int PRIMARY KEY, owner int NOT NULL REFERENCES people ON DELETE CASCADE)",
        "INSERT INTO people SELECT i, i FROM generate_series(1, 60) i",
        "INSERT INTO homes SELECT i, i FROM generate_series(1, 60) i",
        "ALTER TABLE people ADD FOREIGN KEY (home) REFERENCES homes",
    )
    execution = ledger.on("people").all().delete(hard=True).by("t").run()
    run(connection, "ALTER TABLE homes ADD CONSTRAINT odd CHECK (id % 2 = 1)")
    asked: list[int] = []
    execute = Transaction.execute

    def count(self: Transaction, query: sql.SQL, *args: Any) -> Any:
        asked.append(query is SQL["say_why"])
        return execute(self, query, *args)

    monkeypatch.setattr(Transaction, "execute", count)
    undo = execution.undo(by="t").run()
    monkeypatch.undo()
    assert sum(asked) == 1
    failures = [one for one in undo.failures() if one.table is None]
    assert {one.key for one in failures} == {(str(n),) for n in range(2, 61, 2)}
    assert {(one.sqlstate, one.constraint) for one in failures} == {("23514", "odd")}
    check_invariants(connection, ledger=ledger, tables=["public.people", "public.homes"])
