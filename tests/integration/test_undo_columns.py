"""Undo of some columns alone: the rest is left, is no conflict, and can be taken back later; never anything twice."""

from typing import LiteralString

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    AlreadyUndone,
    ColumnsNotUndoable,
    InvalidParameters,
    SchemaDrift,
    UndoConflicts,
    UnknownColumn,
)
from action_ledger.ops import Ledger
from action_ledger.ops.handles import ExecutionHandle
from tests.dump import dump_ledger
from tests.exact import dump, run
from tests.invariants import check_invariants
from tests.items import NAME, TABLE, numbers

pytestmark = pytest.mark.every_postgres


def row(connection: Connection[DictRow], id_: int) -> tuple[str | None, ...]:
    found = connection.execute(
        "SELECT status, price::text, note, other FROM items WHERE id = %s", [id_]
    ).fetchone()
    assert found is not None
    return tuple(found.values())


def test_only_these_columns(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    run(
        items,
        "UPDATE items SET note = 'mine' WHERE id = 2",  # not asked for: no conflict
        "UPDATE items SET price = 7 WHERE id = 3",
    )
    undo = done.undo(by="tester").columns("price", "status").run()
    assert numbers(undo) == (11, 1, 0)
    assert [(one.key, one.current) for one in undo.conflicts()] == [
        (("3",), {"status": "old", "price": "7"})
    ]
    assert row(items, 1) == ("new", "1.0", None, "x")
    assert row(items, 2) == ("new", "1.0", "mine", "x")
    assert row(items, 3) == ("old", "7", None, "x")
    kept = items.execute(
        "SELECT DISTINCT columns, acted FROM action_ledger.change_sets WHERE undo_id = %s",
        [undo.id],
    ).fetchall()
    assert [(one["columns"], one["acted"]) for one in kept] == [(["price", "status"],) * 2]
    check_invariants(items, tables=[NAME], touched=["2", "3"])


def test_the_other_columns_later_and_nothing_twice(
    done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    after = dump(items, TABLE)
    first = done.undo(by="tester").columns("price").run()
    with pytest.raises(AlreadyUndone):
        done.undo(by="tester").columns("price").run()
    run(
        items, "UPDATE items SET price = 7 WHERE id = 4"
    )  # taken back before: none of the undo's business
    second = done.undo(by="tester").keys([1, 2, 3, 4]).columns("status", "price").run()
    assert numbers(second) == (4, 0, 0)
    assert row(items, 4) == ("new", "7", None, "x")
    run(items, "UPDATE items SET price = 1.0 WHERE id = 4")
    third = done.undo(by="tester").run()  # what is left: the note of all, and the status of some
    assert numbers(third) == (12, 0, 0)
    assert {row(items, n)[:2] for n in range(1, 13)} == {("new", "1.0")}
    with pytest.raises(AlreadyUndone):
        done.undo(by="tester").run()
    for undo, count in ((third, 12), (first, 12), (second, 4)):
        assert numbers(undo.redo(by="tester").run()) == (count, 0, 0)
    assert dump(items, TABLE) == after
    check_invariants(items, tables=[NAME], touched=["4"])


def test_a_record_that_stands_in_several_change_sets_counts_once(
    done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    """After a redo of one column the newest image of each column of a record lies elsewhere."""
    done.undo(by="tester").columns("price").run().redo(by="tester").run()
    run(items, "UPDATE items SET status = 'mine' WHERE id = 2")
    with pytest.raises(UndoConflicts) as raised:
        done.undo(by="tester").on_conflict("fail").run()
    assert raised.value.conflicts == 1
    undo = done.undo(by="tester").run()
    # Each part of record 2 is judged by itself.
    assert numbers(undo) == (12, 0, 0)
    assert [one.key for one in undo.conflicts()] == [("2",)]
    assert row(items, 1) == ("new", "1.0", "n1", "x")
    assert row(items, 2) == ("mine", "1.0", None, "x")
    assert numbers(undo.redo(by="tester").run()) == (12, 0, 0)
    assert row(items, 1) == ("old", "2", None, "x")
    check_invariants(items, tables=[NAME], touched=["2"])


def test_redo_of_some_columns(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    undo = done.undo(by="tester").run()
    assert numbers(undo.redo(by="tester").columns("note").run()) == (12, 0, 0)
    assert row(items, 1) == ("new", "1.0", None, "x")
    with pytest.raises(AlreadyUndone):
        undo.redo(by="tester").columns("note").run()
    assert numbers(undo.redo(by="tester").run()) == (12, 0, 0)
    assert row(items, 1) == ("old", "2", None, "x")
    check_invariants(items, tables=[NAME])


def test_merge_of_some_columns(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    run(items, "UPDATE items SET price = 7, note = 'mine' WHERE id = 2")
    undo = done.undo(by="tester").columns("status", "price").on_conflict("merge").run()
    assert numbers(undo) == (12, 0, 0)
    assert [(one.reason, one.current) for one in undo.conflicts()] == [
        ("columns_changed_since", {"price": "7"})
    ]
    assert row(items, 2) == ("new", "7", "mine", "x")
    check_invariants(items, tables=[NAME], touched=["2"])


def test_refusals_say_why_and_write_nothing(
    ledger: Ledger, done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    ids = ledger.on(NAME).where(col("id") <= 2).update(id=col("id") + 100).by("tester").run()
    gone = ledger.on(NAME).where(col("id") == 3).delete(hard=True).by("tester").run()
    back = gone.undo(by="tester").run()
    before = dump_ledger(items)
    for request, why in (
        (
            done.undo(by="tester").columns("status", "other"),
            "changed note, price, status, and not other",
        ),
        (ids.undo(by="tester").columns("id"), "changed the keys"),
        (back.redo(by="tester").columns("price"), "inserted the rows"),
    ):
        with pytest.raises(ColumnsNotUndoable, match=why):
            request.run()
    with pytest.raises(UnknownColumn) as unknown:
        done.undo(by="tester").columns("pricee").run()
    assert unknown.value.suggestions == ("price",)
    with pytest.raises(InvalidParameters):
        done.undo(by="tester").columns().run()
    assert dump_ledger(items) == before
    back.redo(by="tester").run()
    with pytest.raises(ColumnsNotUndoable, match="deleted the rows"):
        gone.undo(by="tester").columns("price").run()


def test_what_triggers_write_is_left(ledger: Ledger, items: Connection[DictRow]) -> None:
    run(
        items,
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.note = coalesce(NEW.note, '') || '+'; RETURN NEW; END$$",
        "CREATE TRIGGER stamp BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION stamp()",
    )
    execution = ledger.on(NAME).all().update(status="old", price=2).by("tester").run()
    undo = execution.undo(by="tester").columns("price").run()
    assert row(items, 1) == ("old", "1.0", "n1++", "x")
    assert undo.excepted == []
    rest = execution.undo(by="tester").run()
    assert row(items, 1) == ("new", "1.0", "n1+++", "x")
    assert rest.excepted == ["note"]
    check_invariants(items, tables=[NAME])


@pytest.mark.parametrize("triggers", [False, True])
@pytest.mark.parametrize(
    "drift", ["ALTER TABLE items DROP price", "ALTER TABLE items ALTER price TYPE float8"]
)
def test_a_column_that_is_not_asked_for_may_be_gone(
    ledger: Ledger, items: Connection[DictRow], *, drift: LiteralString, triggers: bool
) -> None:
    if triggers:  # then whole rows are captured
        run(
            items,
            "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN NEW.other = NEW.other || '+'; RETURN NEW; END$$",
            "CREATE TRIGGER stamp BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION stamp()",
        )
    request = ledger.on(NAME).all().update(status="old", price=2, note=None)
    done = request.by("tester").batch_size(5).run()
    run(items, drift)
    undo = done.undo(by="tester").columns("status", "note")
    assert (undo.preview().tally.applied, {*undo.preview().columns}) == (12, {"status", "note"})
    undone = undo.run()
    assert numbers(undone) == (12, 0, 0)
    read = "SELECT DISTINCT status, note = 'n' || id AS note FROM items"
    assert items.execute(read).fetchall() == [{"status": "new", "note": True}]
    redo = undone.redo(by="tester").run()
    assert numbers(redo) == (12, 0, 0)
    assert items.execute(read).fetchall() == [{"status": "old", "note": None}]
    with pytest.raises(SchemaDrift, match="price"):
        done.undo(by="tester").run()
    merged = done.undo(by="tester").columns("note").on_conflict("merge").keys([1, 2]).run()
    assert numbers(merged) == (2, 0, 0)
    check_invariants(items)  # its images are of columns that are not there


def test_an_odd_name(ledger: Ledger, connection: Connection[DictRow]) -> None:
    run(
        connection,
        'CREATE TABLE odd ("k%s" text PRIMARY KEY, "a %(x)s" int, "b\'\'{}" int)',
        "INSERT INTO odd VALUES ('1', 1, 1), ('2', 1, 1)",
    )
    request = ledger.on("public.odd").all().update(**{"a %(x)s": 2, "b''{}": 2})
    execution = request.by("tester").run()
    execution.undo(by="tester").columns("a %(x)s").run()
    assert numbers(execution.undo(by="tester").on_conflict("merge").run()) == (2, 0, 0)
    rows = connection.execute('SELECT * FROM odd WHERE "a %(x)s" = 1 AND "b\'\'{}" = 1').fetchall()
    assert len(rows) == 2
    check_invariants(connection, tables=["public.odd"])
