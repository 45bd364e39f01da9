"""Triggers beside the ledger: what they write is captured, what they swallow is skipped, what they keep is reported."""

from typing import LiteralString

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from tests.exact import dump, run
from tests.invariants import check_invariants

TABLE = sql.Identifier("public", "items")
NAME = "public.items"

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def items(connection: Connection[DictRow]) -> Connection[DictRow]:
    """Items 1 to 8, and a log that triggers may write."""
    run(
        connection,
        "CREATE TABLE items (id int PRIMARY KEY, status text NOT NULL, n int NOT NULL DEFAULT 0, note text,"
        " updated_at timestamptz NOT NULL DEFAULT '2024-01-01')",
        "CREATE TABLE log (id int, said text)",
        "INSERT INTO items (id, status, note) SELECT i, 'new', 'note ' || i FROM generate_series(1, 8) i",
    )
    return connection


def trigger(
    connection: Connection[DictRow],
    when: LiteralString,
    body: LiteralString,
    *,
    constraint: bool = False,
) -> None:
    """Make a trigger out of "BEFORE UPDATE ... FOR EACH ROW" and the body of its function."""
    timing, _, rest = when.partition(" FOR ")
    connection.execute(
        sql.SQL("CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS {}").format(
            sql.Identifier(name := f"f_{abs(hash(body))}"), sql.Literal(f"BEGIN {body} END")
        )
    )
    connection.execute(
        sql.SQL("CREATE {} TRIGGER {} {} ON items {} FOR {} EXECUTE FUNCTION {}()").format(
            sql.SQL("CONSTRAINT" if constraint else ""),
            sql.Identifier(name),
            sql.SQL(timing),
            sql.SQL("DEFERRABLE INITIALLY DEFERRED" if constraint else ""),
            sql.SQL(rest),
            sql.Identifier(name),
        )
    )


def test_a_stamp_is_the_one_column_that_stays(ledger: Ledger, items: Connection[DictRow]) -> None:
    trigger(
        items,
        "BEFORE UPDATE FOR EACH ROW",
        "NEW.updated_at := clock_timestamp(); RETURN NEW;",
    )
    before = dump(items, TABLE, leaving_out=("updated_at",))
    execution = ledger.on(NAME).all().update(status="old").by("tester").run()
    undo = execution.undo(by="tester").run()
    assert undo.progress().applied == 8
    assert undo.excepted == ["updated_at"]
    assert dump(items, TABLE, leaving_out=("updated_at",)) == before
    redo = undo.redo(by="tester").run()
    assert (redo.progress().applied, redo.excepted) == (8, ["updated_at"])
    check_invariants(items, tables=[NAME])


def test_what_a_trigger_swallows_is_skipped(ledger: Ledger, items: Connection[DictRow]) -> None:
    trigger(
        items,
        "BEFORE UPDATE FOR EACH ROW",
        "IF NEW.id % 3 = 0 THEN RETURN NULL; END IF; RETURN NEW;",
    )
    before = dump(items, TABLE)
    execution = ledger.on(NAME).all().update(status="old").by("tester").run()
    assert execution.progress().applied == 6
    assert [(o.key, o.reason) for o in execution.skipped()] == [
        (("3",), "trigger"),
        (("6",), "trigger"),
    ]
    assert execution.undo(by="tester").run().progress().applied == 6
    assert dump(items, TABLE) == before
    check_invariants(items, tables=[NAME])


def test_what_a_trigger_writes_along_comes_back(ledger: Ledger, items: Connection[DictRow]) -> None:
    trigger(
        items,
        "BEFORE UPDATE FOR EACH ROW",
        "IF NEW.status = 'old' AND NEW.id % 2 = 0 THEN NEW.note := 'written'; END IF; RETURN NEW;",
    )
    before = dump(items, TABLE)
    execution = ledger.on(NAME).all().update(status="old").by("tester").run()
    undo = execution.undo(by="tester").run()
    assert undo.excepted == []
    assert dump(items, TABLE) == before
    redo = undo.redo(by="tester").run()
    # An outsider's later edit of a column that the action did not set is no conflict, and stays.
    run(
        items,
        "SET session_replication_role = replica",
        "UPDATE items SET note = 'mine' WHERE id = 2",
    )
    again = redo.redo(by="tester").run()
    assert (again.progress().applied, again.excepted) == (8, ["note"])
    rows = items.execute(
        "SELECT id, status, note FROM items WHERE id IN (2, 4) ORDER BY id"
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [(2, "new", "mine"), (4, "new", "note 4")]


def test_a_delete_that_is_swallowed_is_skipped(ledger: Ledger, items: Connection[DictRow]) -> None:
    trigger(
        items,
        "BEFORE DELETE FOR EACH ROW",
        "IF OLD.id = 5 THEN RETURN NULL; END IF; RETURN OLD;",
    )
    before = dump(items, TABLE)
    execution = ledger.on(NAME).all().delete(hard=True).by("tester").run()
    assert [(o.key, o.reason) for o in execution.skipped()] == [(("5",), "trigger")]
    assert execution.undo(by="tester").run().progress().applied == 7
    assert dump(items, TABLE) == before


def test_triggers_on_restored_rows(ledger: Ledger, items: Connection[DictRow]) -> None:
    execution = ledger.on(NAME).all().delete(hard=True).by("tester").run()
    trigger(
        items,
        "BEFORE INSERT FOR EACH ROW",
        "IF NEW.id = 2 THEN RETURN NULL; END IF; IF NEW.id = 4 THEN NEW.id := 40; END IF;"
        "NEW.note := upper(NEW.note); RETURN NEW;",
    )
    undo = execution.undo(by="tester").run()
    assert (undo.progress().applied, undo.progress().failed, undo.progress().skipped) == (6, 1, 1)
    assert undo.excepted == ["note"]
    (failure,) = undo.failures()
    assert (failure.key, failure.sqlstate) == (("4",), "27000")
    # The row with another key is not there either: nobody would know whose it is.
    rows = items.execute("SELECT id, note FROM items ORDER BY id").fetchall()
    assert [row["id"] for row in rows] == [1, 3, 5, 6, 7, 8]
    assert rows[0]["note"] == "NOTE 1"
    check_invariants(items, tables=[NAME])
    # What did not come back is still there to be undone.
    items.execute("ALTER TABLE items DISABLE TRIGGER USER")
    assert execution.undo(by="tester").run().progress().applied == 2


AFTER: dict[str, tuple[LiteralString, LiteralString, bool]] = {
    "the_acted_column": (
        "AFTER UPDATE FOR EACH ROW",
        "IF pg_trigger_depth() = 1 THEN UPDATE items SET status = upper(status) WHERE id = NEW.id; END IF; RETURN NULL;",
        False,
    ),
    "another_column": (
        "AFTER UPDATE FOR EACH ROW",
        "IF pg_trigger_depth() = 1 THEN UPDATE items SET n = n + 1 WHERE id = NEW.id; END IF; RETURN NULL;",
        False,
    ),
    "once_a_statement": (
        "AFTER UPDATE FOR EACH STATEMENT",
        "IF pg_trigger_depth() = 1 THEN UPDATE items SET n = n + 1; END IF; RETURN NULL;",
        False,
    ),
    "at_commit": (
        "AFTER UPDATE FOR EACH ROW",
        "IF pg_trigger_depth() = 1 THEN UPDATE items SET note = 'x' WHERE id = NEW.id; END IF; RETURN NULL;",
        True,
    ),
    "the_neighbour": (
        "AFTER UPDATE FOR EACH ROW",
        "IF pg_trigger_depth() = 1 THEN UPDATE items SET n = n + 1 WHERE id = 9 - NEW.id; END IF; RETURN NULL;",
        False,
    ),
    "other_tables": (
        "AFTER UPDATE FOR EACH ROW",
        "INSERT INTO log VALUES (NEW.id, NEW.status); RETURN NULL;",
        False,
    ),
}


@pytest.mark.parametrize("what", AFTER)
def test_what_is_written_after_the_statement_is_in_the_images(
    ledger: Ledger, items: Connection[DictRow], what: str
) -> None:
    when, body, constraint = AFTER[what]
    trigger(items, when, body, constraint=constraint)
    items.execute("ALTER TABLE items ADD CHECK (id <> 3 OR status = 'new')")
    execution = ledger.on(NAME).all().update(status="old").by("tester").run()
    after = dump(items, TABLE)
    if what != "the_neighbour":
        assert execution.progress().applied == 7  # 3 is bad, so there are several parts
    check_invariants(items, tables=[NAME])
    items.execute("ALTER TABLE items DISABLE TRIGGER USER")
    undo = execution.undo(by="tester").run()
    assert (undo.progress().failed, undo.progress().skipped, undo.excepted) == (0, 0, [])
    if what not in ("once_a_statement", "the_neighbour"):  # which write to records of other parts
        rows = items.execute(
            "SELECT DISTINCT status, n, left(note, 5) AS note FROM items"
        ).fetchall()
        assert rows == [{"status": "new", "n": 0, "note": "note "}]
    check_invariants(items, tables=[NAME])
    undo.redo(by="tester").run()
    assert dump(items, TABLE) == after


def test_an_undo_reports_what_is_written_after_it(
    ledger: Ledger, items: Connection[DictRow]
) -> None:
    when, body, _ = AFTER["another_column"]
    trigger(items, when, body)
    trigger(
        items,
        "AFTER INSERT FOR EACH ROW",
        "UPDATE items SET note = 'came back' WHERE id = NEW.id; RETURN NULL;",
    )
    update = ledger.on(NAME).where(col("id") < 4).update(status="old").by("tester").run()
    undo = update.undo(by="tester").run()
    assert (undo.progress().applied, undo.excepted) == (3, ["n"])
    check_invariants(items, tables=[NAME])
    delete = ledger.on(NAME).where(col("id") > 4).delete(hard=True).by("tester").run()
    undo = delete.undo(by="tester").run()
    assert (undo.progress().applied, undo.excepted) == (4, ["note"])
    check_invariants(items, tables=[NAME])
    assert undo.redo(by="tester").run().progress().applied == 4
    check_invariants(items, tables=[NAME])


def test_a_row_that_goes_after_its_update_is_a_conflict(
    ledger: Ledger, items: Connection[DictRow]
) -> None:
    trigger(
        items,
        "AFTER UPDATE FOR EACH ROW",
        "IF NEW.id = 1 THEN DELETE FROM items WHERE id = 1; END IF; RETURN NULL;",
    )
    execution = ledger.on(NAME).all().update(status="old").by("tester").run()
    undo = execution.undo(by="tester").run()
    assert [(o.key, o.reason) for o in undo.conflicts()] == [(("1",), "gone")]
    assert undo.progress().applied == 7
