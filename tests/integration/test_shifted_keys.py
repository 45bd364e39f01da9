"""Keys that move into one another's places: there is an order in which that goes, or it is said why not."""

from typing import LiteralString

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from tests.exact import dump, run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres

KEYS: dict[str, tuple[LiteralString, LiteralString, int]] = {
    "bigint": ("id bigint PRIMARY KEY", "i", 1),
    "down": ("id bigint PRIMARY KEY", "i", -3),
    "numeric": ("id numeric PRIMARY KEY", "i / 2.0", 1),
    "date": ("id date PRIMARY KEY", "'2024-01-01'::date + i", 1),
    "composite": ("part text, id int, PRIMARY KEY (part, id)", "i / 2", 1),
    "partitioned": ("id int PRIMARY KEY", "i", 1),
}
SHIFTED = sql.Identifier("public", "shifted")


@pytest.mark.parametrize("records", [40, 3_000])
@pytest.mark.parametrize("key", KEYS)
def test_a_dense_shift_there_and_back(
    ledger: Ledger, connection: Connection[DictRow], key: str, records: int
) -> None:
    columns, value, by = KEYS[key]
    partitioned = " PARTITION BY RANGE (id)" if key == "partitioned" else ""
    connection.execute(
        f"CREATE TABLE shifted (v int NOT NULL DEFAULT 0, {columns}){partitioned}".encode()
    )
    if partitioned:
        run(
            connection,
            "CREATE TABLE low PARTITION OF shifted FOR VALUES FROM (0) TO (20)",
            "CREATE TABLE high PARTITION OF shifted FOR VALUES FROM (20) TO (10000)",
        )
    part, its = (", part", ", chr(97 + i % 2)") if key == "composite" else ("", "")
    connection.execute(
        f"INSERT INTO shifted (id{part}) SELECT {value}{its}"
        f" FROM generate_series(1, {records}) i ORDER BY i".encode()
    )
    run(connection, "ANALYZE shifted")
    before = dump(connection, SHIFTED)
    shift = col("id") + by if by > 0 else col("id") - (-by)
    execution = ledger.on("shifted").all().update(id=shift, v=1).by("t").run()
    progress = execution.progress()
    assert (progress.applied, progress.failed) == (records, 0), next(execution.failures())
    after = dump(connection, SHIFTED)
    undo = execution.undo(by="t").run()
    assert (undo.progress().applied, undo.progress().failed) == (records, 0)
    assert dump(connection, SHIFTED) == before
    redo = undo.redo(by="t").run()
    assert dump(connection, SHIFTED) == after
    redo.redo(by="t").run()
    assert dump(connection, SHIFTED) == before
    check_invariants(connection)
    held = {
        row["parts"]
        for row in connection.execute(
            "SELECT max(part) AS parts FROM action_ledger.change_sets GROUP BY owner"
        )
    }
    assert held == {1}, "each was one statement"


def test_what_stands_in_the_way_is_named(ledger: Ledger, connection: Connection[DictRow]) -> None:
    """A row outside the selection holds up those that would follow one another into its place, and no others."""
    run(
        connection,
        "CREATE TABLE shifted (id int PRIMARY KEY, v int NOT NULL DEFAULT 0)",
        "INSERT INTO shifted SELECT i, 0 FROM generate_series(1, 50) i WHERE i <> 21",
        "UPDATE shifted SET v = 1 WHERE id = 40",
    )
    before = dump(connection, SHIFTED)
    execution = (
        ledger.on("shifted").where(col("v") == 0).update(id=col("id") + 1, v=col("v")).by("t").run()
    )
    assert [int(one.key[0]) for one in execution.failures()] == list(range(22, 40))[::-1]
    assert {one.sqlstate for one in execution.failures()} == {"23505"}
    assert execution.progress().applied == 49 - 1 - 18
    execution.undo(by="t").run()
    assert dump(connection, SHIFTED) == before
    check_invariants(connection)


@pytest.mark.parametrize("watched", [False, True])
def test_a_row_that_came_to_the_place_of_another(
    ledger: Ledger, connection: Connection[DictRow], *, watched: bool
) -> None:
    """Record 5 goes, and 4 has its place by then: that is no reason to take one for the other."""
    run(
        connection,
        "CREATE TABLE shifted (id int PRIMARY KEY, v int NOT NULL DEFAULT 0)",
        "INSERT INTO shifted SELECT i, i FROM generate_series(1, 9) i",
    )
    if watched:
        run(
            connection,
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER look BEFORE UPDATE ON shifted FOR EACH ROW EXECUTE FUNCTION look()",
        )
    submitted = ledger.on("shifted").all().update(id=col("id") + 1).by("t").submit()
    assert ledger.worker().step(submitted.id)
    run(connection, "DELETE FROM shifted WHERE id = 5")
    ledger.worker().finish(submitted.id)
    assert [(one.key, one.reason) for one in submitted.skipped()] == [(("5",), "vanished")]
    run(connection, "DELETE FROM shifted WHERE v = 7")
    undo = submitted.undo(by="t").run()
    assert [(one.key, one.reason) for one in undo.conflicts()] == [(("7",), "gone")]
    rows = connection.execute("SELECT id, v FROM shifted ORDER BY id").fetchall()
    assert [(row["id"], row["v"]) for row in rows] == [(n, n) for n in (1, 2, 3, 4, 6, 8, 9)]
    check_invariants(connection)


@pytest.mark.parametrize("deferrable", [True, False])
def test_keys_that_change_places(
    ledger: Ledger, connection: Connection[DictRow], *, deferrable: bool
) -> None:
    """No order helps there; a key that is checked at the end of the statement does."""
    run(
        connection,
        "CREATE TABLE shifted (id int, v int NOT NULL DEFAULT 0, PRIMARY KEY (id) DEFERRABLE)"
        if deferrable
        else "CREATE TABLE shifted (id int PRIMARY KEY, v int NOT NULL DEFAULT 0)",
        "INSERT INTO shifted SELECT i, i FROM generate_series(1, 20) i",
    )
    before = dump(connection, SHIFTED)
    turned = (col("id") * -1) + 21
    execution = ledger.on("shifted").all().update(id=turned).by("t").run()
    assert execution.progress().applied == (20 if deferrable else 0)
    assert {one.sqlstate for one in execution.failures()} == (set() if deferrable else {"23505"})
    if deferrable:
        undo = execution.undo(by="t").run()
        assert undo.progress().applied == 20
    assert dump(connection, SHIFTED) == before
    check_invariants(connection)
