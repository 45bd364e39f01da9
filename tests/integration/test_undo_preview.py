"""The preview of an undo: says what the undo comes to, and leaves no trace at all."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from psycopg import Connection, connect, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    ActorMissing,
    AlreadyUndone,
    ColumnsNotUndoable,
    InvalidValue,
    PreviewBlocked,
    RecordsLocked,
    UndoConflicts,
    UndoExpired,
)
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.handles import ExecutionHandle, UndoRequest
from action_ledger.workers.undo_previewed import UndoPreview
from tests.dump import dump_ledger
from tests.exact import dump, run
from tests.items import NAME, TABLE
from tests.worker_process import until

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def items(items: Connection[DictRow]) -> Connection[DictRow]:
    """Items 1 to 40, with a child each."""
    run(
        items,
        "INSERT INTO items SELECT i, 'new', 1.0, 'n' || i, 'x' FROM generate_series(13, 40) i",
        "CREATE TABLE parts (id int PRIMARY KEY, item int REFERENCES items ON DELETE CASCADE)",
        "INSERT INTO parts SELECT i, i FROM generate_series(1, 40) i",
    )
    return items


@pytest.fixture
def done(ledger: Ledger, items: Connection[DictRow]) -> ExecutionHandle:
    """An update of all items in batches of 9, of which somebody changed some, deleted one and forbade one."""
    execution = ledger.on(NAME).all().update(status="old", price=2).by("tester").batch_size(9).run()
    run(
        items,
        "UPDATE items SET status = 'mine' WHERE id = 2",
        "UPDATE items SET status = 'mine', price = 7 WHERE id = 3",
        "DELETE FROM items WHERE id = 4",
        "ALTER TABLE items ADD CONSTRAINT never CHECK (id <> 20 OR status <> 'new') NOT VALID",
    )
    return execution


def looked(connection: Connection[DictRow], request: UndoRequest, **how: int) -> UndoPreview:
    """Preview, and see that nothing has changed: neither the table nor anything in the ledger, its sequences too."""
    before = dump(connection, TABLE), dump_ledger(connection)
    found = request.preview(**how)
    assert (dump(connection, TABLE), dump_ledger(connection)) == before
    return found


@pytest.mark.parametrize("policy", ["skip", "merge", "force"])
def test_the_undo_comes_to_what_was_previewed(
    done: ExecutionHandle, items: Connection[DictRow], policy: str
) -> None:
    request = done.undo(by="tester").on_conflict(policy)
    shown = looked(items, request, sample=100)
    undo = request.run()
    counts = undo.progress()
    assert shown.exact
    assert (shown.count, shown.batches, shown.tried) == (counts.total, counts.batches, 40)
    assert shown.tally.model_dump() == {
        "applied": counts.applied,
        "failed": counts.failed,
        "skipped": counts.skipped,
    }
    told = [(one.key, one.reason, one.recorded, one.current) for one in shown.conflicts]
    assert told == [(one.key, one.reason, one.recorded, one.current) for one in undo.conflicts()]
    assert sum(shown.left.values()) == len(told)
    assert [(one.key, one.sqlstate) for one in shown.failures] == [(("20",), "23514")]
    assert shown.sqlstates == {"23514": 1}
    # What was shown of each record is what it is now.
    rows = {
        str(row["id"]): row for row in items.execute("SELECT id, status, price::text FROM items")
    }
    assert len(shown.changes) == counts.applied
    for change in shown.changes:
        assert change.after is not None
        now = rows[change.key[0]]
        assert {name: now[name] for name in change.after} == change.after


def test_column_by_column(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    shown = looked(items, done.undo(by="tester").on_conflict("merge"))
    assert {name: (of.restored, of.changed_since) for name, of in shown.columns.items()} == {
        "status": (36, 2),
        "price": (37, 1),
    }
    assert shown.left == {"changed_since": 1, "columns_changed_since": 1, "gone": 1}
    only = looked(items, done.undo(by="tester").columns("price"))
    assert only.only_columns == ("price",)
    assert {name: (of.restored, of.changed_since) for name, of in only.columns.items()} == {
        "price": (38, 1)
    }
    assert only.model_dump(mode="json")["changes"][0]["before"] == {"price": "2"}


def test_of_records_and_of_a_redo(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    shown = looked(items, done.undo(by="tester").keys([1, 2, 30, 99]))
    assert (shown.count, shown.tally.applied, shown.left) == (3, 2, {"changed_since": 1})
    undo = done.undo(by="tester").keys([1, 5]).run()
    again = looked(items, undo.redo(by="tester"))
    assert (again.count, again.of_undo, again.tally.applied) == (2, undo.id, 2)
    assert looked(items, done.undo(by="tester").batches([2])).count == 9


def test_rows_that_went_along(ledger: Ledger, items: Connection[DictRow]) -> None:
    execution = ledger.on(NAME).where(col("id") <= 3).delete(hard=True).by("tester").run()
    run(items, "INSERT INTO items VALUES (2, 'mine')")
    parts = dump(items, sql.Identifier("public", "parts"))
    shown = looked(items, execution.undo(by="tester"))
    assert (shown.tally.applied, shown.left) == (2, {"taken": 1})
    assert {table: tally.model_dump() for table, tally in shown.children.items()} == {
        "public.parts": {"applied": 2, "failed": 0, "skipped": 1}
    }
    assert shown.changes[0].before is None
    assert dump(items, sql.Identifier("public", "parts")) == parts
    undo = execution.undo(by="tester").run()
    assert undo.children() == shown.children
    assert looked(items, undo.redo(by="tester")).reached == {"public.parts": 2}


def test_refusals_are_those_of_the_undo(
    ledger: Ledger, done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    with pytest.raises(UndoConflicts):
        looked(items, done.undo(by="tester").on_conflict("fail"))
    with pytest.raises(ColumnsNotUndoable):
        looked(items, done.undo(by="tester").columns("other"))
    with pytest.raises(ActorMissing):
        done.undo().preview()
    with pytest.raises(InvalidValue):
        done.undo(by="tester").preview(-1)
    done.undo(by="tester").keys([1]).run()
    with pytest.raises(AlreadyUndone):
        looked(items, done.undo(by="tester").keys([1]))
    short = ledger.on("public.parts").all().update(item=None).by("tester")
    late = short.undoable(days=1 / 86_400).run()
    items.execute("SELECT pg_sleep(1.1)")
    with pytest.raises(UndoExpired):
        late.undo(by="tester").preview()


def test_others_that_are_at_work(
    ledger: Ledger, done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    ledger.on(NAME).where(col("id") == 8).update(other="z").by("tester").submit()
    ledger.worker().step()
    assert [lock.status for lock in ledger.locks()] == ["held"]
    with pytest.raises(RecordsLocked):
        looked(items, done.undo(by="tester"))
    assert looked(items, done.undo(by="tester").keys([7])).tally.applied == 1


def test_it_is_bounded(done: ExecutionHandle, items: Connection[DictRow]) -> None:
    shown = looked(items, done.undo(by="tester").on_conflict("merge"), records=10)
    assert not shown.exact
    assert (shown.count, shown.tried) == (40, 10)
    assert "sample" in shown.notes
    assert (sum(shown.left.values()), shown.conflicts_in_all) == (1, 3)
    whole = looked(items, done.undo(by="tester"))
    assert (sum(whole.left.values()), whole.conflicts_in_all) == (3, None)
    nothing = looked(items, done.undo(by="tester"), records=0)
    assert (nothing.tried, nothing.exact, nothing.tally.applied) == (0, False, 0)


def test_children_are_tried_in_their_order(ledger: Ledger, items: Connection[DictRow]) -> None:
    execution = ledger.on(NAME).all().delete(hard=True).by("tester").batch_size(15).run()
    shown = looked(items, execution.undo(by="tester"), records=20)
    assert (shown.count, shown.tried, shown.exact) == (40, 20, False)
    assert shown.children["public.parts"].applied == 20
    run(items, "INSERT INTO items VALUES (39, 'mine')", "INSERT INTO parts VALUES (38, NULL)")
    assert looked(items, execution.undo(by="tester"), records=20).conflicts_in_all == 2


def test_keys_are_tried_whole_or_not_at_all(ledger: Ledger, items: Connection[DictRow]) -> None:
    run(items, "DROP TABLE parts")
    execution = ledger.on(NAME).all().update(id=col("id") + 1).by("tester").run()
    shown = looked(items, execution.undo(by="tester"), records=20)
    assert (shown.tried, shown.notes) == (0, ("keys",))
    assert looked(items, execution.undo(by="tester")).tally.applied == 40


def test_rows_that_others_hold(database_url: str, done: ExecutionHandle) -> None:
    settings = Settings.model_validate({"preview_lock_timeout_ms": 200})
    with open_ledger(database_url, settings=settings) as hasty, connect(database_url) as other:
        undo = hasty.execution(done.id).undo(by="tester")
        other.execute("UPDATE items SET other = 'theirs' WHERE id = 5")
        shown = undo.preview()
        assert shown.held is not None
        assert (shown.held.records, shown.tried, shown.notes) == (1, 0, ("held",))
        other.rollback()
        other.execute("LOCK TABLE action_ledger.key_sets")
        with pytest.raises(PreviewBlocked):
            undo.keys([1]).preview()


def test_nobody_waits_for_a_preview(
    database_url: str, done: ExecutionHandle, items: Connection[DictRow]
) -> None:
    """But for the records that it tries: it does not keep the turn at the locks of the table."""
    settings = Settings.model_validate({"preview_lock_timeout_ms": 20_000})
    with (
        open_ledger(database_url, settings=settings) as ledger,
        connect(database_url) as other,
        ThreadPoolExecutor() as pool,
    ):
        undo = ledger.execution(done.id).undo(by="tester")
        other.execute("UPDATE items SET other = 'theirs' WHERE id = 5")
        looking = pool.submit(undo.keys([5]).preview)
        until(partial(waits, items), "the wait for the row")
        assert undo.keys([30]).run().progress().applied == 1
        assert not looking.done()
        other.rollback()
        assert looking.result().tally.applied == 1


def waits(connection: Connection[DictRow]) -> bool:
    found = connection.execute(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return found.rowcount > 0


def test_sequences_are_told(ledger: Ledger, items: Connection[DictRow]) -> None:
    run(
        items,
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.other = NEW.other || '+'; RETURN NEW; END$$",
        "CREATE TRIGGER stamp BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION stamp()",
    )
    execution = ledger.on(NAME).all().update(status="old").by("tester").run()
    shown = looked(items, execution.undo(by="tester"))
    assert shown.notes == ("sequences",)
    assert shown.excepted == ("other",)
