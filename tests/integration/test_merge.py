"""Merging: what somebody changed since stays, column by column; what nobody touched comes back."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import LiteralString

import pytest
from psycopg import Connection, connect, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from action_ledger.ops.handles import ExecutionHandle, UndoHandle
from tests.exact import dump, run
from tests.invariants import check_invariants
from tests.items import NAME, TABLE, numbers

pytestmark = pytest.mark.every_postgres


def merged(execution: ExecutionHandle) -> UndoHandle:
    return execution.undo(by="tester").on_conflict("merge").run()


def rows(
    connection: Connection[DictRow], where: LiteralString = "true"
) -> dict[int, tuple[str | None, ...]]:
    found = connection.execute(
        sql.SQL("SELECT id, status, price::text, note, other FROM items WHERE {}").format(
            sql.SQL(where)
        )
    )
    return {row["id"]: tuple(row.values())[1:] for row in found}


def test_what_nobody_touched_comes_back(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    run(
        items,
        "UPDATE items SET status = 'mine' WHERE id = 2",
        "UPDATE items SET price = 2.0 WHERE id IN (3, 8)",  # equal, and another image
        "UPDATE items SET status = 'mine', note = '' WHERE id = 4",
        "UPDATE items SET status = 'mine', price = 7, note = '' WHERE id = 5",
        "UPDATE items SET other = 'mine' WHERE id = 6",
        "DELETE FROM items WHERE id = 7",
    )
    undo = merged(done)
    assert rows(items, "id <= 8") == {
        1: ("new", "1.0", "n1", "x"),
        2: ("mine", "1.0", "n2", "x"),
        3: ("new", "2.0", "n3", "x"),
        4: ("mine", "1.0", "", "x"),
        5: ("mine", "7", "", "x"),
        6: ("new", "1.0", "n6", "mine"),
        8: ("new", "2.0", "n8", "x"),
    }
    assert numbers(undo) == (10, 2, 0)
    told = {int(one.key[0]): (one.reason, one.recorded, one.current) for one in undo.conflicts()}
    since = "columns_changed_since"
    assert told == {
        2: (since, {"status": "old"}, {"status": "mine"}),
        3: (since, {"price": "2"}, {"price": "2.0"}),
        4: (since, {"status": "old", "note": None}, {"status": "mine", "note": ""}),
        5: (
            "changed_since",
            {"status": "old", "price": "2", "note": None},
            {"status": "mine", "price": "7", "note": ""},
        ),
        7: ("gone", {"status": "old", "price": "2", "note": None}, told[7][2]),
        8: (since, {"price": "2"}, {"price": "2.0"}),
    }
    check_invariants(items, tables=[NAME], touched=["2", "3", "4", "5", "7", "8"])


def test_redo_of_a_merge_is_exact(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    run(items, "UPDATE items SET status = 'mine' WHERE id IN (2, 9)")
    before = dump(items, TABLE)
    undo = merged(done)
    back = dump(items, TABLE)
    redo = undo.redo(by="tester").run()
    assert numbers(redo) == (12, 0, 0)
    assert dump(items, TABLE) == before
    # What was written again can be taken back again, and so on.
    again = merged(done)
    assert numbers(again) == (12, 0, 0)
    assert len(list(again.conflicts())) == 2
    assert dump(items, TABLE) == back
    check_invariants(items, tables=[NAME], touched=["2", "9"])


def test_what_a_merge_left_can_be_taken_back_later(
    done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    run(items, "UPDATE items SET status = 'mine' WHERE id = 2")
    merged(done)
    left = done.undo(by="tester").on_conflict("force").run()
    assert numbers(left) == (1, 0, 0)
    assert rows(items, "id = 2") == {2: ("new", "1.0", "n2", "x")}
    assert {tuple(change.columns) for change in _parts(items, left)} == {("status",)}
    left.redo(by="tester").run()
    assert rows(items, "id = 2") == {2: ("mine", "1.0", "n2", "x")}
    check_invariants(items, tables=[NAME], touched=["2"])


def test_redo_merges_too(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    undo = done.undo(by="tester").run()
    run(items, "UPDATE items SET status = 'mine' WHERE id = 2")
    redo = undo.redo(by="tester").on_conflict("merge").run()
    assert numbers(redo) == (12, 0, 0)
    assert rows(items, "id <= 2") == {1: ("old", "2", None, "x"), 2: ("mine", "2", None, "x")}
    check_invariants(items, tables=[NAME], touched=["2"])


def test_refused_records_are_no_conflict(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    run(
        items,
        "UPDATE items SET status = 'mine' WHERE id <= 3",
        "ALTER TABLE items ADD CHECK (id <> 2 OR price <> 1.0) NOT VALID",
    )
    undo = merged(done)
    assert numbers(undo) == (11, 0, 1)
    assert [(one.key, one.sqlstate) for one in undo.failures()] == [(("2",), "23514")]
    assert sorted(one.key for one in undo.conflicts()) == [("1",), ("3",)]
    check_invariants(items, tables=[NAME], touched=["1", "2", "3"])


def test_deleted_rows_come_back_as_a_whole_or_not(
    ledger: Ledger, items: Connection[DictRow]
) -> None:
    execution = ledger.on(NAME).where(col("id") <= 3).delete(hard=True).by("tester").run()
    run(items, "INSERT INTO items VALUES (2, 'mine')")
    undo = merged(execution)
    assert numbers(undo) == (2, 1, 0)
    assert [one.reason for one in undo.conflicts()] == ["taken"]
    run(items, "UPDATE items SET other = 'mine' WHERE id = 1")
    redo = undo.redo(by="tester").on_conflict("merge").run()
    assert numbers(redo) == (1, 1, 0)
    assert [one.reason for one in redo.conflicts()] == ["changed_since"]
    check_invariants(items)


def test_moved_records_are_not_merged(ledger: Ledger, items: Connection[DictRow]) -> None:
    """What is at a key may be another record by now: such a one comes back as a whole, or is left."""
    request = ledger.on(NAME).where(col("id") <= 3).update(id=col("id") + 100, status="old")
    execution = request.by("tester").run()
    run(items, "UPDATE items SET status = 'mine' WHERE id = 102")
    undo = merged(execution)
    assert numbers(undo) == (2, 1, 0)
    assert [one.reason for one in undo.conflicts()] == ["changed_since"]
    assert sorted(rows(items, "id <= 3 OR id > 100")) == [1, 3, 102]


def test_columns_that_a_trigger_writes(ledger: Ledger, items: Connection[DictRow]) -> None:
    """They come back with the others where nobody wrote them since, and are no conflict where somebody did."""
    run(
        items,
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN IF NEW.status = 'old' THEN NEW.note = 'stamped'; END IF; RETURN NEW; END$$",
        "CREATE TRIGGER stamp BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION stamp()",
    )
    before = rows(items)
    execution = ledger.on(NAME).all().update(status="old", price=2).by("tester").run()
    run(items, "UPDATE items SET price = 7 WHERE id = 2")
    undo = merged(execution)
    assert numbers(undo) == (12, 0, 0)
    assert rows(items) == {**before, 2: ("new", "7", "n2", "x")}
    assert undo.excepted == []
    check_invariants(items, tables=[NAME], touched=["2"])


def test_who_comes_in_between_is_merged_too(
    database_url: str, done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    """A merge looks at rows under their locks: it waits for who is at one, and sees what came of that."""
    with connect(database_url) as other, ThreadPoolExecutor() as pool:
        other.execute("UPDATE items SET price = 7 WHERE id = 2")
        undo = pool.submit(merged, done)
        wait_for_lock(items)
        other.commit()
        assert numbers(undo.result()) == (12, 0, 0)
    assert rows(items, "id = 2") == {2: ("new", "7", "n2", "x")}
    assert [(one.reason, one.current) for one in undo.result().conflicts()] == [
        ("columns_changed_since", {"price": "7"})
    ]


def wait_for_lock(connection: Connection[DictRow]) -> None:
    """Wait until some session waits for a row that another one holds."""
    deadline = time.monotonic() + 20
    while not connection.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ).rowcount:
        assert time.monotonic() < deadline
        time.sleep(0.02)


class _Part:
    def __init__(self, columns: list[str]) -> None:
        self.columns = columns


def _parts(connection: Connection[DictRow], undo: UndoHandle) -> list[_Part]:
    found = connection.execute(
        "SELECT columns FROM action_ledger.change_sets WHERE undo_id = %s", [undo.id]
    )
    return [_Part(row["columns"]) for row in found]


@pytest.mark.parametrize("policy", ["skip", "force"])
def test_a_record_in_two_change_sets_of_a_table_with_triggers(
    ledger: Ledger, items: Connection[DictRow], policy: str
) -> None:
    """Of such a table whole rows are kept, their keys too: a row whose key stayed is no row that was moved there."""
    run(
        items,
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.other = NEW.other || '+'; RETURN NEW; END$$",
        "CREATE TRIGGER stamp BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION stamp()",
    )
    done = ledger.on(NAME).all().update(status="old", price=2, note=None).by("tester").run()
    run(items, "UPDATE items SET price = 7 WHERE id = 2")
    merged(done).redo(by="tester").run()  # by now record 2 stands in two change sets
    if policy == "force":
        undo = done.undo(by="tester").on_conflict("force").run()
        assert [*undo.conflicts()] == []
        assert rows(items, "id = 2")[2][:3] == ("new", "1.0", "n2")
    else:
        undo = done.undo(by="tester").columns("price", "note").run()
        assert [(one.reason, one.current) for one in undo.conflicts()] == [
            ("changed_since", {"price": "7"})
        ]
        assert rows(items, "id = 2")[2][:3] == ("old", "7", "n2")
    assert numbers(undo) == (12, 0, 0)
    check_invariants(items, tables=[NAME], touched=["2"])


def test_a_column_that_another_change_set_brought_back_is_restored(
    ledger: Ledger, items: Connection[DictRow]
) -> None:
    """After triggers all of a row is looked at again: what one change set left may come from the other."""
    run(
        items,
        "CREATE FUNCTION leave_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$",
        "CREATE TRIGGER leave_it AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION leave_it()",
    )
    before = dump(items, TABLE)
    done = ledger.on(NAME).all().update(status="old", price=2, note=None).by("tester").run()
    run(items, "UPDATE items SET price = 7 WHERE id = 2")
    merged(done).redo(by="tester").run()
    request = done.undo(by="tester").on_conflict("force")
    shown = request.preview()
    undo = request.run()
    assert dump(items, TABLE) == before
    assert (undo.excepted, shown.excepted) == ([], ())
