"""What a block of events does to rows, folded and written at once, equals doing it change by change."""

from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.projections.rows import Rows

TABLE = "things"
KEYS = {TABLE: "id"}
IDS = st.integers(1, 4)
COUNTS = st.integers(-5, 5)
NAMES = st.none() | st.text(
    alphabet=st.characters(exclude_characters="\0", codec="utf-8"), max_size=5
)
Row = dict[str, Any]
Change = tuple[str, int, Row]

CHANGES = st.one_of(
    st.tuples(
        st.just("put"),
        IDS,
        st.fixed_dictionaries({"name": NAMES, "one": COUNTS, "two": COUNTS}),
    ),
    st.tuples(
        st.just("patch"),
        IDS,
        st.fixed_dictionaries({}, optional={"name": NAMES, "one": COUNTS}).filter(bool),
    ),
    st.tuples(
        st.just("add"),
        IDS,
        st.fixed_dictionaries({}, optional={"one": COUNTS, "two": COUNTS}).filter(bool),
    ),
    st.tuples(st.just("drop"), IDS, st.just(cast("Row", {}))),
)


def one_by_one(rows: dict[int, Row], change: Change) -> None:
    """Do one change to a model of the table."""
    what, key, values = change
    match what:
        case "put":
            rows[key] = {"id": key, **values}
        case "patch" if key in rows:
            rows[key].update(values)
        case "add" if key in rows:
            for name, delta in values.items():
                rows[key][name] += delta
        case "drop":
            rows.pop(key, None)
        case _:
            pass


def tell(rows: Rows, change: Change) -> None:
    """Tell the same to the collector."""
    what, key, values = change
    match what:
        case "put":
            rows.put(TABLE, key, dict(values))
        case "patch":
            rows.patch(TABLE, key, **values)
        case "add":
            rows.add(TABLE, key, **values)
        case _:
            rows.drop(TABLE, key)


def possible(changes: list[Change], there: set[int]) -> list[Change]:
    """Leave out what no events say: a row that is put is not there yet, any other change is of one that is."""
    left: list[Change] = []
    for change in changes:
        what, key, _ = change
        if (what == "put") != (key in there):
            left.append(change)
            there = there | {key} if what == "put" else there - {key} if what == "drop" else there
    return left


@pytest.fixture
def table(connection: Connection[DictRow]) -> Connection[DictRow]:
    connection.execute(
        "CREATE TABLE things (id int PRIMARY KEY, name text, one int NOT NULL, two int NOT NULL)"
    )
    return connection


@given(blocks=st.lists(st.lists(CHANGES, max_size=12), max_size=4))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_folding(table: Connection[DictRow], blocks: list[list[Change]]) -> None:
    table.execute("TRUNCATE things")
    model: dict[int, Row] = {}
    rows = Rows(KEYS)
    for block in blocks:
        for change in possible(block, set(model)):
            one_by_one(model, change)
            tell(rows, change)
        with table.transaction(), table.cursor() as cursor:
            rows.write(cursor, sql.Identifier)
        found = {row["id"]: row for row in table.execute("SELECT * FROM things").fetchall()}
        assert found == model


def test_a_row_that_comes_back_in_the_same_block(table: Connection[DictRow]) -> None:
    rows = Rows(KEYS)
    old, new = {"name": "old", "one": 1, "two": 1}, {"name": "new", "one": 2, "two": 2}
    for values, before in ((old, False), (new, True)):
        if before:
            rows.drop(TABLE, 1)
        rows.put(TABLE, 1, dict(values))
        rows.add(TABLE, 1, one=5)
        with table.transaction(), table.cursor() as cursor:
            rows.write(cursor, sql.Identifier)
    assert table.execute("SELECT * FROM things").fetchall() == [{**new, "id": 1, "one": 7}]


def test_a_block_costs_a_statement_a_shape(table: Connection[DictRow]) -> None:
    """Not one a row: that is what makes a rebuild quick."""
    rows = Rows(KEYS)
    for key in range(1, 501):
        rows.put(TABLE, key, {"name": "n", "one": 0, "two": 0})
        rows.add(TABLE, key, one=1)
        rows.patch(TABLE, key, name="m")

    class Counting:
        statements = 0

        def execute(self, *args: Any) -> None:
            Counting.statements += 1
            table.execute(*args)

    rows.write(cast("Any", Counting()), sql.Identifier)
    assert Counting.statements == 1
    assert table.execute("SELECT sum(one) AS ones FROM things").fetchall() == [{"ones": 500}]
