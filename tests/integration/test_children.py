"""Rows that go along through foreign keys: captured with the batch, and back with the records they went with."""

from collections import Counter

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.errors import AlreadyUndone, UndoConflicts
from action_ledger.ops import Ledger
from tests.dump import dump_table
from tests.exact import run
from tests.related import SCHEMA, check, delete, dump

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def shop(connection: Connection[DictRow]) -> Connection[DictRow]:
    run(connection, *SCHEMA)
    return connection


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
    assert sorted(refused.value.sample) == ["public.carts 22", "public.carts 43", "public.orders 1"]
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


@pytest.mark.slow
def test_a_hundred_thousand_with_three_children_each(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    run(
        connection,
        "CREATE TABLE parents (id int PRIMARY KEY, name text)",
        "CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE, note text)",
        "CREATE INDEX ON children (parent)",
        "INSERT INTO parents SELECT i, 'parent ' || i FROM generate_series(1, 100000) i",
        "INSERT INTO children SELECT i, 1 + i % 100000, 'child ' || i FROM generate_series(1, 300000) i",
        "ANALYZE parents, children",
    )
    tables = ("public.parents", "public.children")
    before = [dump_table(connection, table) for table in tables]
    execution = ledger.on("parents").all().delete(hard=True).by("t").run()
    assert execution.reached() == {"public.children": 300_000}
    assert [dump_table(connection, table) for table in tables] == [[], []]
    undo = execution.undo(by="t").run()
    assert (undo.progress().applied, undo.children()["public.children"].applied) == (
        100_000,
        300_000,
    )
    assert [dump_table(connection, table) for table in tables] == before
