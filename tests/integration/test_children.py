"""Rows that go along through foreign keys: captured with the batch, and back with the records they went with."""

from collections import Counter
from collections.abc import Iterable

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import batch, col
from action_ledger.domain.errors import AlreadyUndone, IrreversibleCascade, UndoConflicts
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.ops.cli_exit_codes import ExitCode
from tests.command_line import CommandLine
from tests.dump import dump_table
from tests.exact import run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres

TABLES = ("customers", "orders", "items", "reviews", "carts", "staff")
SCHEMA = (
    "CREATE TABLE customers (id int PRIMARY KEY, name text)",
    "CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE, note text UNIQUE)",
    (
        "CREATE TABLE items (order_id int REFERENCES orders ON DELETE CASCADE, n int, customer int"
        " REFERENCES customers ON DELETE CASCADE, twice int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (order_id, n))"
    ),
    (
        "CREATE TABLE reviews (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
        " customer int REFERENCES customers ON DELETE SET NULL, helped int REFERENCES customers ON DELETE SET NULL, body text)"
    ),
    (
        "CREATE TABLE carts (id int PRIMARY KEY, customer int NOT NULL DEFAULT 0"
        " REFERENCES customers ON DELETE SET DEFAULT)"
    ),
    (
        "CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff ON DELETE CASCADE,"
        " mentor int REFERENCES staff ON DELETE SET NULL, buddy int REFERENCES staff)"
    ),
    "INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(0, 20) i",
    "INSERT INTO orders SELECT i, i % 21, 'order ' || i FROM generate_series(1, 60) i",
    "INSERT INTO items SELECT 1 + i % 60, i, 1 + i % 20 FROM generate_series(1, 200) i",
    "INSERT INTO reviews (customer, helped, body) SELECT i % 21, i % 4, 'review ' || i FROM generate_series(1, 50) i",
    "INSERT INTO carts SELECT i, i % 21 FROM generate_series(1, 50) i",
    (
        "INSERT INTO staff SELECT i, nullif(i / 2, 0), CASE WHEN i > 3 THEN i - 3 END, nullif(i % 4, 0)"
        " FROM generate_series(1, 31) i"
    ),
)

Dump = dict[str, list[str]]


@pytest.fixture
def shop(connection: Connection[DictRow]) -> Connection[DictRow]:
    run(connection, *SCHEMA)
    return connection


def dump(connection: Connection[DictRow]) -> Dump:
    return {table: dump_table(connection, f"public.{table}") for table in TABLES}


def delete(ledger: Ledger, table: str, *keys: int, size: int = 100) -> ExecutionHandle:
    done = ledger.on(table).keys(keys).delete(hard=True).by("t").batch_size(size).run()
    assert (done.status, done.progress().applied) == ("completed", len(keys)), list(done.failures())
    return done


def check(ledger: Ledger, connection: Connection[DictRow], *, touched: Iterable[str] = ()) -> None:
    tables = [f"public.{table}" for table in TABLES]
    check_invariants(connection, ledger=ledger, tables=tables, touched=touched)


@pytest.mark.parametrize("size", [3, 100])
def test_a_delete_and_all_it_took_along_come_back_row_for_row(
    ledger: Ledger, shop: Connection[DictRow], size: int
) -> None:
    """Fault 1 of the predecessor: a forced delete could never be undone."""
    before = dump(shop)
    execution = delete(ledger, "customers", *range(1, 16), size=size)
    after = dump(shop)
    assert len(after["orders"]) < len(before["orders"])
    undo = execution.undo(by="t").run()
    assert (undo.status, undo.progress().applied) == ("completed", 15)
    assert [*undo.failures(), *undo.conflicts(), *undo.skipped()] == []
    assert dump(shop) == before
    redo = undo.redo(by="t").run()
    assert dump(shop) == after
    check(ledger, shop)
    assert redo.redo(by="t").run().status == "completed"
    assert dump(shop) == before
    check(ledger, shop)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_rows_of_one_table_that_refer_to_each_other_in_any_way(
    ledger: Ledger, shop: Connection[DictRow], size: int
) -> None:
    # All of 2, 9 and 5 go, and what is below them; 9 is below 4, which goes with 2: who refers to whom says nothing of
    # who goes first. The buddies are among those that go.
    run(
        shop,
        "UPDATE staff SET buddy = NULL",
        "UPDATE staff SET buddy = 19 WHERE id = 11",
        "UPDATE staff SET buddy = 4 WHERE id = 10",
    )
    before = dump(shop)
    execution = ledger.on("staff").keys([2, 9, 5]).delete(hard=True).by("t").batch_size(size).run()
    assert execution.status == "completed", list(execution.failures())
    undo = execution.undo(by="t").run()
    assert [*undo.failures(), *undo.conflicts(), *undo.skipped()] == []
    assert dump(shop) == before
    check(ledger, shop)


def test_what_went_along_is_counted_and_shown(ledger: Ledger, shop: Connection[DictRow]) -> None:
    execution = delete(ledger, "customers", 1, 2)
    undo = execution.undo(by="t").run()
    ledger.catch_up()
    (completed, compensated) = (
        one.details
        for one in ledger.audit(execution_id=execution.id)
        if one.topic in (batch.Completed.TOPIC, batch.Compensated.TOPIC)
    )
    shown = Counter(change["table"] for change in execution.changes())
    assert shown == {"public.customers": 2, **completed["reached"]}
    assert completed["reached"]["public.orders"] == 6
    assert {
        table: tally["applied"] for table, tally in compensated["children"].items()
    } == completed["reached"]
    assert execution.reached() == completed["reached"]
    assert {table: tally.applied for table, tally in undo.children().items()} == completed[
        "reached"
    ]
    entries = ledger.history("orders", 1)
    assert [(one.direction, one.kind, one.execution_id) for one in entries] == [
        ("do", "delete", execution.id),
        ("undo", "insert", execution.id),
    ]
    assert entries[0].before is not None
    assert entries[0].before["note"] == "order 1"
    nulled = shop.execute("SELECT id FROM reviews WHERE customer = 1 LIMIT 1").fetchone()
    assert nulled is not None
    first, second = ledger.history("reviews", nulled["id"])
    assert (first.before, first.after) == ({"customer": "1"}, {"customer": None})
    assert (second.before, second.after) == ({"customer": None}, {"customer": "1"})


def test_what_others_did_to_children_is_a_conflict(
    ledger: Ledger, shop: Connection[DictRow]
) -> None:
    run(shop, "DELETE FROM items WHERE order_id = 1")
    before = dump(shop)
    execution = delete(ledger, "customers", 1)
    run(
        shop,
        "INSERT INTO orders VALUES (1, 2, 'another')",
        "UPDATE carts SET customer = 5 WHERE id = 22",
        "DELETE FROM carts WHERE id = 43",
    )
    with pytest.raises(UndoConflicts) as refused:
        execution.undo(by="t").on_conflict("fail").run()
    assert refused.value.conflicts == 3
    undo = execution.undo(by="t").run()
    assert undo.progress().applied == 1
    found = {(one.table, one.key): one for one in undo.conflicts()}
    reasons = {where: one.reason for where, one in found.items()}
    assert reasons == {
        ("public.orders", ("1",)): "taken",
        ("public.carts", ("22",)): "changed_since",
        ("public.carts", ("43",)): "gone",
    }
    taken = found["public.orders", ("1",)]
    assert (taken.recorded or {})["note"] == "order 1"
    assert (taken.current or {})["note"] == "another"
    changed = found["public.carts", ("22",)]
    assert (changed.recorded, changed.current) == ({"customer": "0"}, {"customer": "5"})
    check(ledger, shop, touched=["1", "22", "43"])
    run(shop, "DELETE FROM orders WHERE id = 1", "INSERT INTO carts VALUES (43, 1)")
    again = execution.undo(by="t").on_conflict("force").run()
    # Only children were left; the cart was inserted as it had been, which is not what the ledger had left there.
    assert (again.progress().total, again.children()["public.orders"].applied) == (0, 1)
    assert dump(shop) == before
    with pytest.raises(AlreadyUndone):
        execution.undo(by="t").run()
    check(ledger, shop, touched=["22", "43"])


def test_children_stay_behind_with_their_record(ledger: Ledger, shop: Connection[DictRow]) -> None:
    before = dump(shop)
    execution = delete(ledger, "customers", 1, 2)
    run(shop, "INSERT INTO customers VALUES (1, 'a stranger')")
    undo = execution.undo(by="t").run()
    assert [(one.key, one.reason) for one in undo.conflicts()] == [(("1",), "taken")]
    left = Counter((one.table, one.reason) for one in undo.skipped())
    assert left["public.orders", "parent_not_restored"] == 3
    assert {table: tally.skipped for table, tally in undo.children().items()} == {
        table: left[table, "parent_not_restored"] for table in undo.children()
    }
    check(ledger, shop, touched=["1"])
    run(shop, "DELETE FROM customers WHERE id = 1")
    assert execution.undo(by="t").run().progress().applied == 1
    assert dump(shop) == before
    check(ledger, shop)


def test_by_keys_each_with_its_own_children(ledger: Ledger, shop: Connection[DictRow]) -> None:
    before = dump(shop)
    execution = delete(ledger, "customers", 1, 2, 3)
    undo = execution.undo(by="t").keys([2]).run()
    assert undo.children()["public.orders"].applied == 3
    assert [
        row["customer"]
        for row in shop.execute(
            "SELECT DISTINCT customer FROM orders WHERE customer < 4 AND customer > 0"
        )
    ] == [2]
    assert execution.undo(by="t").run().progress().applied == 2
    assert dump(shop) == before
    check(ledger, shop)


def test_a_child_that_the_database_refuses_fails_alone_and_can_come_later(
    ledger: Ledger, shop: Connection[DictRow]
) -> None:
    """Fault 5 of the predecessor: an undo swallowed errors, and was burnt then."""
    before = dump(shop)
    execution = delete(ledger, "customers", 1, 2)
    run(shop, "UPDATE orders SET note = 'order 1' WHERE id = 3")
    undo = execution.undo(by="t").run()
    (failure,) = (one for one in undo.failures() if one.table == "public.orders")
    assert (failure.key, failure.sqlstate, failure.constraint) == (
        ("1",),
        "23505",
        "orders_note_key",
    )
    # Its items have nothing to refer to: each says so.
    others = [one for one in undo.failures() if one.table == "public.items"]
    assert {(one.key[0], one.sqlstate) for one in others} == {("1", "23503")}
    tally = undo.children()["public.orders"]
    assert (tally.applied, tally.failed) == (5, 1)
    check(ledger, shop)
    run(shop, "UPDATE orders SET note = 'order 3' WHERE id = 3")
    again = execution.undo(by="t").run()
    assert (again.status, again.children()["public.items"].applied) == ("completed", len(others))
    assert dump(shop) == before
    check(ledger, shop)


def test_triggers_that_take_other_rows_are_found_out(
    ledger: Ledger, shop: Connection[DictRow]
) -> None:
    run(
        shop,
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF old.id = 2 THEN INSERT INTO orders VALUES (1000, 2, 'at the last moment'); END IF; RETURN old; END $$",
        "CREATE TRIGGER meddle BEFORE DELETE ON customers FOR EACH ROW EXECUTE FUNCTION meddle()",
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF old.id = 3 THEN RETURN NULL; END IF; RETURN old; END $$",
        "CREATE TRIGGER keep BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    before = dump(shop)
    execution = ledger.on("customers").keys([1, 2, 3]).delete(hard=True).by("t").run()
    assert execution.progress().applied == 1
    failures = {one.key: one for one in execution.failures()}
    assert {key: one.sqlstate for key, one in failures.items()} == {
        ("2",): "27000",
        ("3",): "27000",
    }
    assert "rows of public.orders" in (failures[("2",)].message or "")
    assert execution.undo(by="t").run().progress().applied == 1
    assert dump(shop) == before
    check(ledger, shop)


def test_a_change_of_keys_and_what_follows_it(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    run(
        connection,
        "CREATE TABLE codes (code text PRIMARY KEY)",
        "CREATE TABLE follows (id int PRIMARY KEY, code text REFERENCES codes ON UPDATE CASCADE)",
        "CREATE TABLE forgets (id int PRIMARY KEY, code text REFERENCES codes ON UPDATE SET NULL)",
        "INSERT INTO codes VALUES ('a'), ('b'), ('c')",
        "INSERT INTO follows VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "INSERT INTO forgets VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    )
    tables = ["public.codes", "public.follows", "public.forgets"]

    def now() -> list[list[str]]:
        return [dump_table(connection, table) for table in tables]

    before = now()
    execution = ledger.on("codes").keys(["a", "b"]).update(code=col("code").upper()).by("t").run()
    assert execution.reached() == {"public.follows": 2, "public.forgets": 2}
    after = now()
    assert after[1:] == [["(1,A)", "(2,B)", "(3,c)"], ["(1,)", "(2,)", "(3,c)"]]
    undo = execution.undo(by="t").run()
    assert [*undo.failures(), *undo.conflicts()] == []
    assert now() == before
    redo = undo.redo(by="t").run()
    assert (redo.status, now()) == ("completed", after)
    execution.undo(by="t").run()
    assert now() == before
    check_invariants(connection, ledger=ledger, tables=tables)


REFUSED: dict[str, tuple[str, str]] = {
    "no primary key": (
        "CREATE TABLE child (p int REFERENCES parent ON DELETE CASCADE)",
        "no primary key",
    ),
    "rights of its own": (
        (
            "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE);"
            "ALTER TABLE child ENABLE ROW LEVEL SECURITY"
        ),
        "row-level security",
    ),
    "partitions": (
        "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE) PARTITION BY RANGE (id)",
        "partitioned",
    ),
    "other keys": (
        "CREATE TABLE child (id int DEFAULT 0 PRIMARY KEY REFERENCES parent ON DELETE SET DEFAULT)",
        "other keys",
    ),
    "further on": (
        (
            "CREATE TABLE child (id int PRIMARY KEY, p int UNIQUE REFERENCES parent ON DELETE SET NULL);"
            "CREATE TABLE grandchild (id int PRIMARY KEY, p int REFERENCES child (p) ON UPDATE CASCADE)"
        ),
        "other tables refer to what would be written",
    ),
    "no primary key further on": (
        (
            "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE);"
            "CREATE TABLE grandchild (p int REFERENCES child ON DELETE SET NULL)"
        ),
        "no primary key",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_taken_back_is_refused_with_the_reason(
    ledger: Ledger, connection: Connection[DictRow], case: str
) -> None:
    made, reason = REFUSED[case]
    run(connection, "CREATE TABLE parent (id int PRIMARY KEY)", "INSERT INTO parent VALUES (1)")
    connection.execute(made.encode())
    request = ledger.on("parent").all().delete(hard=True).by("t")
    with pytest.raises(IrreversibleCascade) as refused:
        request.run()
    assert reason in refused.value.reason
    assert refused.value.constraint.endswith("_fkey")
    assert request.irreversible().run().progress().applied == 1


def test_a_foreign_key_made_since_is_followed_by_the_redo(
    ledger: Ledger, shop: Connection[DictRow]
) -> None:
    execution = delete(ledger, "customers", 4)
    undo = execution.undo(by="t").run()
    run(
        shop,
        "CREATE TABLE gifts (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE)",
        "INSERT INTO gifts VALUES (1, 4), (2, 5)",
    )
    redo = undo.redo(by="t").run()
    assert redo.reached()["public.gifts"] == 1
    assert execution.undo(by="t").run().children()["public.gifts"].applied == 1
    assert dump_table(shop, "public.gifts") == ["(1,4)", "(2,5)"]
    check(ledger, shop)


def test_the_command_line_tells_of_children(
    ledger: Ledger, shop: Connection[DictRow], database_url: str
) -> None:
    """Both ways are told with numbers, and what stayed behind makes the exit code another."""
    execution = delete(ledger, "customers", 1)
    run(shop, "INSERT INTO orders VALUES (1, 2, 'another')")
    tell = CommandLine(database_url)
    undone = tell("undo", execution.id, "--by", "t", "--yes")
    assert undone.code == ExitCode.PARTLY
    assert "and 2 of public.orders, 1 left as it is" in undone.out
    assert "public.orders 1" in undone.out
    listed = tell("outcomes", execution.undos()[0].id, "--kind", "conflict", "--format", "csv")
    assert "public.orders,1,1,conflict,taken" in listed.out
    redone = tell("redo", "last", "--by", "t", "--yes")
    assert "and 2 of public.orders went along" in redone.out
