"""Undo and what others did since: never overwritten unless forced, each listed with both values."""

from typing import LiteralString

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    AlreadyUndone,
    ExecutionNotEnded,
    NothingToUndo,
    NotReversible,
    UndoConflicts,
    UndoExpired,
)
from action_ledger.ops import Ledger
from action_ledger.ops.handles import ExecutionHandle, UndoHandle
from tests.dump import dump_ledger
from tests.exact import dump, run
from tests.invariants import check_invariants
from tests.items import NAME, TABLE

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def items(items: Connection[DictRow]) -> Connection[DictRow]:
    """Items 1 to 20, with values of which others are equal and not the same."""
    run(
        items,
        "INSERT INTO items SELECT i, 'new', 1.0, 'n' || i, 'x' FROM generate_series(13, 20) i",
        "ALTER TABLE items ADD doc json DEFAULT '{\"a\": 1}', ADD docb jsonb DEFAULT '1.0', ADD c bpchar DEFAULT 'a',"
        " ADD p point DEFAULT '(0,0)', ADD f float8 DEFAULT 0",
    )
    return items


def ids(connection: Connection[DictRow], where: LiteralString) -> list[int]:
    statement = sql.SQL("SELECT id FROM items WHERE {} ORDER BY id").format(sql.SQL(where))
    return [row["id"] for row in connection.execute(statement)]


def reasons(undo: UndoHandle) -> dict[str, str]:
    return {outcome.key[0]: outcome.reason for outcome in undo.conflicts()}


@pytest.fixture
def done(ledger: Ledger, items: Connection[DictRow]) -> ExecutionHandle:
    """An update of all items, in batches of 6."""
    assert items is not None
    return ledger.on(NAME).all().update(status="old", price=2).by("tester").batch_size(6).run()


@pytest.mark.fault(20)
def test_skip_leaves_what_others_changed(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    run(
        items,
        "UPDATE items SET status = 'mine' WHERE id = 2",
        "UPDATE items SET other = 'mine' WHERE id = 3",  # not a column of the action: no conflict
        "UPDATE items SET price = NULL WHERE id = 4",
        "DELETE FROM items WHERE id = 5",
        "UPDATE items SET id = 106 WHERE id = 6",
    )
    undo = done.undo(by="tester").run()
    assert reasons(undo) == {"2": "changed_since", "4": "changed_since", "5": "gone", "6": "gone"}
    found = {outcome.key[0]: outcome for outcome in undo.conflicts()}
    assert found["2"].recorded == {"status": "old", "price": "2"}
    assert found["2"].current == {"status": "mine", "price": "2"}
    assert found["4"].current == {"status": "old", "price": None}
    assert (undo.progress().applied, undo.progress().skipped) == (16, 4)
    assert ids(items, "status <> 'new'") == [2, 4, 106]
    assert ids(items, "other = 'mine' AND status = 'new'") == [3]
    # What was left is still there to be undone, and what was brought back is not undone twice.
    run(items, "UPDATE items SET status = 'old' WHERE id = 2")
    again = done.undo(by="tester").run()
    assert (again.progress().applied, reasons(again)) == (
        1,
        {"4": "changed_since", "5": "gone", "6": "gone"},
    )
    check_invariants(items)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE items SET price = 2.0 WHERE id = 1",
        "UPDATE items SET doc = '{\"a\":1}' WHERE id = 1",
        "UPDATE items SET docb = '1.00' WHERE id = 1",
        "UPDATE items SET c = 'a  ' WHERE id = 1",
        "UPDATE items SET p = '(1e-9,0)' WHERE id = 1",
        "UPDATE items SET f = '-0' WHERE id = 1",
    ],
    ids=["numeric", "json", "jsonb", "bpchar", "point", "float"],
)
def test_equal_is_not_the_same(
    ledger: Ledger, items: Connection[DictRow], statement: LiteralString
) -> None:
    """Each value is = to what the ledger wrote (or about the same, for a point), and another image."""
    request = ledger.on(NAME).where(col("id") == 1)
    values = {"price": "2", "doc": '{"a": 1}', "docb": "1.0", "c": "a", "p": "(0,0)", "f": "0"}
    execution = request.update(**values).by("tester").run()
    run(items, statement)
    before = dump(items, TABLE)
    undo = execution.undo(by="tester").run()
    assert reasons(undo) == {"1": "changed_since"}
    assert dump(items, TABLE) == before


@pytest.mark.fault(20)
def test_fail_refuses_before_anything_is_written(
    done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    run(items, "UPDATE items SET status = 'mine' WHERE id = 20", "DELETE FROM items WHERE id = 19")
    before, ledger = dump(items, TABLE), dump_ledger(items)
    with pytest.raises(UndoConflicts) as raised:
        done.undo(by="tester").on_conflict("fail").run()
    assert (raised.value.conflicts, sorted(raised.value.sample)) == (2, ["19", "20"])
    assert "2 records were changed again." in raised.value.message
    assert sorted(raised.value.to_dict()["sample"]) == ["19", "20"]
    assert dump(items, TABLE) == before
    assert dump_ledger(items) == ledger
    run(items, "UPDATE items SET status = 'old' WHERE id = 20")
    some = done.undo(by="tester").on_conflict("fail").batches([1, 2, 3]).run()
    assert some.progress().applied == 18


@pytest.mark.fault(20)
def test_force_overwrites_and_can_be_taken_back(
    done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    run(
        items,
        "UPDATE items SET status = 'mine', other = 'mine' WHERE id <= 3",
        "DELETE FROM items WHERE id = 4",
    )
    others = dump(items, TABLE)
    undo = done.undo(by="tester").on_conflict("force").run()
    assert (undo.progress().applied, reasons(undo)) == (19, {"4": "gone"})
    assert ids(items, "status <> 'new' OR price <> 1.0") == []
    assert ids(items, "other = 'mine'") == [1, 2, 3]
    undo.redo(by="tester").run()
    assert dump(items, TABLE) == others  # what the others had written is back
    check_invariants(items, tables=[NAME], touched=["4"])


@pytest.mark.fault(20)
def test_rows_that_are_there_again(ledger: Ledger, items: Connection[DictRow]) -> None:
    execution = ledger.on(NAME).all().delete(hard=True).by("tester").batch_size(6).run()
    run(items, "INSERT INTO items (id, status) VALUES (7, 'mine'), (8, 'new')")
    with pytest.raises(UndoConflicts):
        execution.undo(by="tester").on_conflict("fail").run()
    undo = (
        execution.undo(by="tester").on_conflict("force").run()
    )  # to force it out would be a delete
    assert reasons(undo) == {"7": "taken", "8": "taken"}
    found = {outcome.key[0]: outcome for outcome in undo.conflicts()}
    assert found["7"].current is not None
    assert found["7"].recorded is not None
    assert (found["7"].recorded["status"], found["7"].current["status"]) == ("new", "mine")
    assert ids(items, "status = 'mine'") == [7]
    # The redo deletes what came back, but not what was changed since.
    run(items, "UPDATE items SET other = 'mine' WHERE id = 1", "DELETE FROM items WHERE id = 2")
    redo = undo.redo(by="tester").run()
    assert (redo.progress().applied, reasons(redo)) == (16, {"1": "changed_since", "2": "gone"})
    assert ids(items, "true") == [1, 7, 8]
    check_invariants(items)


@pytest.mark.fault(21)
def test_by_parts_and_each_taken_back(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    after = dump(items, TABLE)
    first = done.undo(by="tester").keys([1, 8, 9, 99]).run()
    assert first.progress().applied == 3
    second = done.undo(by="tester").batches([2, 4]).run()
    assert second.progress().applied == 6
    assert ids(items, "status = 'new'") == [1, 7, 8, 9, 10, 11, 12, 19, 20]
    with pytest.raises(AlreadyUndone):
        done.undo(by="tester").batches([2]).run()
    third = done.undo(by="tester").run()
    assert third.progress().applied == 11
    with pytest.raises(AlreadyUndone):
        done.undo(by="tester").run()
    for undo, count in ((second, 6), (first, 3), (third, 11)):
        assert undo.redo(by="tester").run().progress().applied == count
        with pytest.raises(AlreadyUndone):
            undo.redo(by="tester").run()
    assert dump(items, TABLE) == after
    assert done.undo(by="tester").run().progress().applied == 20
    check_invariants(items, tables=[NAME])


def test_nothing_to_undo(ledger: Ledger, done: ExecutionHandle, items: Connection[DictRow]) -> None:
    before = dump_ledger(items)
    for request in (
        done.undo(by="tester").keys([]),
        done.undo(by="tester").keys([99]),
        done.undo(by="tester").batches([9]),
        done.undo(by="tester").batches([]),
    ):
        with pytest.raises(NothingToUndo):
            request.run()
    assert dump_ledger(items) == before
    nobody = ledger.on(NAME).where(col("id") > 99).update(price=1).by("tester").run()
    with pytest.raises(NothingToUndo):
        nobody.undo(by="tester").run()


@pytest.mark.fault(19)
def test_windows(ledger: Ledger, items: Connection[DictRow]) -> None:
    request = ledger.on(NAME).all().update(price=1).by("tester")
    short = request.undoable(days=1 / 86_400).run()
    with pytest.raises(NotReversible):
        request.irreversible().run().undo(by="tester").run()
    undo = short.undo(by="tester").keys([1]).run()
    items.execute("SELECT pg_sleep(1)")
    before = dump_ledger(items)
    with pytest.raises(UndoExpired):
        short.undo(by="tester").run()
    with pytest.raises(UndoExpired):
        undo.redo(by="tester").run()
    assert dump_ledger(items) == before
    open_ = request.submit()
    with pytest.raises(ExecutionNotEnded, match="action-ledger cancel"):
        open_.undo(by="tester").run()
