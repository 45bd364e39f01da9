"""Later executions on the same records: which, by whom, when, and how many records they have in common."""

from typing import LiteralString

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import ExecutionNotFound, UnknownTable
from action_ledger.ops import Ledger
from action_ledger.ops.later import LaterChange
from tests.exact import run

pytestmark = pytest.mark.every_postgres


def told(changes: list[LaterChange]) -> list[tuple[str, str, str, int]]:
    return [(one.direction, one.action, one.actor, one.records) for one in changes]


@pytest.mark.parametrize(
    "key", ["id int", "id text", "id numeric", 'id int, "k%s" text DEFAULT \'a,b"\'']
)
def test_what_wrote_to_the_same_records(
    ledger: Ledger, connection: Connection[DictRow], key: LiteralString
) -> None:
    name: LiteralString = '"k%s"' if "k%s" in key else ""
    run(
        connection,
        "CREATE TABLE items ("
        + key
        + ", n int, PRIMARY KEY (id"
        + (f", {name}" if name else "")
        + "))",
        "INSERT INTO items (id, n) SELECT i, i FROM generate_series(1, 100) i",
        "CREATE TABLE others (id int PRIMARY KEY, n int)",
        "INSERT INTO others SELECT i, i FROM generate_series(1, 100) i",
    )
    items = ledger.on("public.items")
    items.all().update(n=col("n") + 1).by("before").batch_size(30).run()
    first = (
        items.where(col("n").between(11, 60)).update(n=col("n") + 100).by("a").batch_size(7).run()
    )
    assert first.later() == []
    ledger.on("public.others").all().update(n=0).by("elsewhere").run()
    items.where(col("n") < 11).update(n=0).by("beside").run()
    second = items.where(col("n") > 150).update(n=0).by("b").batch_size(9).run()
    gone = items.where(col("n").between(111, 115)).delete(hard=True).by("c").run()
    undo = second.undo(by="d").run()
    assert told(first.later()) == [
        ("do", "update", "b", 10),
        ("do", "delete", "c", 5),
        ("undo", "update", "d", 10),
    ]
    assert [one.execution_id for one in first.later()] == [second.id, gone.id, second.id]
    assert [one.undo_id for one in first.later()] == [None, None, undo.id]
    assert told(second.later()) == told(gone.later()) == []
    # After an undo of it, what wrote before that is no longer later.
    back = first.undo(by="a").run()
    assert back.later() == []
    items.where(col("n") == 60).update(n=1).by("e").run()
    assert told(back.later()) == [("do", "update", "e", 1)]
    assert told(first.later())[-1] == ("do", "update", "e", 1)


def test_records_that_were_moved(ledger: Ledger, connection: Connection[DictRow]) -> None:
    run(
        connection,
        "CREATE TABLE items (id int PRIMARY KEY, n int)",
        "INSERT INTO items SELECT i, i FROM generate_series(1, 10) i",
    )
    items = ledger.on("public.items")
    moved = items.where(col("id") <= 5).update(id=col("id") + 100).by("a").run()
    run(connection, "INSERT INTO items VALUES (3, 3)")
    items.where(col("id") == 3).update(n=0).by("another record").run()
    items.where(col("id") >= 104).update(n=0).by("b").run()
    assert told(moved.later()) == [("do", "update", "b", 2)]


def test_columns_of_one_record_are_one_record(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    run(
        connection,
        "CREATE TABLE items (id int PRIMARY KEY, n int, m int)",
        "INSERT INTO items SELECT i, i, i FROM generate_series(1, 10) i",
    )
    items = ledger.on("public.items")
    first = items.all().update(n=0).by("a").run()
    second = items.where(col("id") <= 4).update(n=1, m=1).by("b").run()
    run(connection, "UPDATE items SET n = 7 WHERE id <= 2")
    second.undo(by="c").on_conflict("merge").run()
    assert told(first.later()) == [("do", "update", "b", 4), ("undo", "update", "c", 4)]


def test_what_is_not_there(ledger: Ledger, connection: Connection[DictRow]) -> None:
    run(
        connection, "CREATE TABLE items (id int PRIMARY KEY, n int)", "INSERT INTO items VALUES (1)"
    )
    execution = ledger.on("public.items").all().update(n=0).by("a").run()
    with pytest.raises(ExecutionNotFound):
        ledger.execution("0190a5b0-0000-7000-8000-000000000000").later()
    run(connection, "DROP TABLE items")
    with pytest.raises(UnknownTable):
        execution.later()
