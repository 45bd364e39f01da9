"""Compiled predicates: the server agrees with Python's reading of the same tree, also with hostile names."""

from collections.abc import Generator, Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection, Cursor, sql
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import InvalidValue, UnknownColumn
from action_ledger.domain.selection import Comparison, Predicate
from action_ledger.workers.catalog import read_table
from action_ledger.workers.check import check
from action_ledger.workers.literals import Parameters
from action_ledger.workers.predicate import compile_predicate
from action_ledger.workers.table import Table, identifier
from tests import predicates
from tests.predicates import NUMBERS, TEXTS, Record, holds

NAME = "tab%le {} %(p1)s"
CREATE = sql.SQL(
    "CREATE TABLE {table} (id int PRIMARY KEY, {a} int, {b} int, {t} text COLLATE {c}, {u} varchar(9) COLLATE {c})"
)
INSERT = sql.SQL("INSERT INTO {table} VALUES (%(id)s, %(a)s, %(b)s, %(t)s, %(u)s)")


@pytest.fixture
def cursor(connection: Connection[DictRow]) -> Generator[Cursor[DictRow]]:
    with connection.cursor() as opened:
        yield opened


@pytest.fixture
def table(cursor: Cursor[DictRow]) -> Table:
    names = dict(zip("abtu", map(identifier, NUMBERS + TEXTS), strict=True))
    cursor.execute(CREATE.format(table=identifier(NAME), c=identifier("C"), **names), {})
    return read_table(cursor, f'"{NAME}"')


def fill(cursor: Cursor[DictRow], table: Table, records: Mapping[int, Record]) -> None:
    cursor.executemany(
        INSERT.format(table=table.identifier),
        [
            dict(zip("abtu", (record[name] for name in NUMBERS + TEXTS), strict=True))
            | {"id": number}
            for number, record in records.items()
        ],
    )


def matching(cursor: Cursor[DictRow], table: Table, predicate: Predicate) -> list[int]:
    parameters = Parameters("%s")
    condition = compile_predicate(predicate, table, 'a %s "b', parameters)
    statement = sql.SQL("SELECT id FROM {} AS {} WHERE {} ORDER BY id").format(
        table.identifier, identifier('a %s "b'), condition
    )
    return [row["id"] for row in cursor.execute(statement, parameters.values)]


GRID_NUMBERS = (None, *range(-3, 4))
GRID_TEXTS = (None, "", "a", "A", "b", "B", "aB", "a%", "_", "\\", "é", "\n")
GRID: list[Record] = [
    dict(zip(NUMBERS + TEXTS, (a, b, GRID_TEXTS[n % 12], GRID_TEXTS[n * 7 % 11]), strict=True))
    for n, (a, b) in enumerate(product(GRID_NUMBERS, GRID_NUMBERS))
]


@pytest.fixture
def filled(cursor: Cursor[DictRow], table: Table) -> Table:
    """The table with a grid of records, so that each random predicate meets values on both of its sides."""
    fill(cursor, table, dict(enumerate(GRID)))
    return table


@pytest.mark.every_postgres
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=250,
)
@given(records=st.lists(predicates.records, max_size=3), predicate=predicates.predicates)
def test_the_server_agrees_with_the_tree(
    cursor: Cursor[DictRow], filled: Table, records: list[Record], predicate: Predicate
) -> None:
    numbered = dict(enumerate(records, len(GRID)))
    with cursor.connection.transaction(force_rollback=True):
        fill(cursor, filled, numbered)
        check(cursor, filled, predicate)
        both = enumerate([*GRID, *records])
        expected = [number for number, record in both if holds(predicate, record) is True]
        assert matching(cursor, filled, predicate) == expected


def test_nulls_are_neither_in_nor_out(cursor: Cursor[DictRow], table: Table) -> None:
    nothing: Record = dict.fromkeys(NUMBERS + TEXTS)
    fill(cursor, table, {1: {**nothing, "a": 5}, 2: {**nothing, "a": 6}, 3: nothing})
    cases: list[tuple[Predicate, list[int]]] = [
        (col("a") == 5, [1]),
        (col("a") != 5, [2]),
        (~(col("a") == 5), [2]),
        ((col("a") != 5) | col("a").is_null(), [2, 3]),
        (col("a").in_([5, 7]), [1]),
        (col("a").not_in([5, 7]), [2]),
        (col("a").in_([]), []),
        (col("a").not_in([]), [1, 2, 3]),
        (~col("a").in_([]), [1, 2, 3]),
        (~col("a").between(6, 9), [1]),
        (col("a") == col("a"), [1, 2]),
        (col("a") == None, [3]),  # noqa: E711
        (col("a") != None, [1, 2]),  # noqa: E711
        ((col("a") == 5) & (col("b") == 1), []),
        ((col("a") == 5) | (col("b") == 1), [1]),
        ((col("a") * 2 - 1) > 10, [2]),
    ]
    for predicate, expected in cases:
        assert matching(cursor, table, predicate) == expected, predicate


@pytest.mark.every_postgres
def test_comparisons_never_cut_a_value_short(cursor: Cursor[DictRow]) -> None:
    cursor.execute(
        "CREATE DOMAIN short AS varchar(3); CREATE TABLE t (id int PRIMARY KEY, v varchar(3), c char(3), n numeric(4,1),"
        " b bit(3), d short, va varchar(3)[], ts timestamptz(0), x name);"
        "INSERT INTO t VALUES (1, 'abc', 'ab', 1.2, B'101', 'abc', '{abc}', '2020-01-01 00:00:00Z', 'n')"
    )
    table = read_table(cursor, "t")
    same: list[Predicate] = [
        col("v") == "abc",
        col("c") == "ab",
        col("c") == "ab ",
        col("n") == 1.2,
        col("b") == "101",
        col("d") == "abc",
        col("va") == ["abc"],
        col("ts") == "2020-01-01T00:00:00Z",
        col("v").like("a%"),
        col("d").in_(["x", "abc"]),
    ]
    other: list[Predicate] = [
        col("v") == "abcd",
        col("v").in_(["abcd"]),
        col("v").between("abcd", "abcd"),
        col("c") == "ab d",
        col("n") == 1.24,
        col("n").in_([1.16]),
        col("b") == "1011",
        col("b") == "10",
        col("d") == "abcd",
        col("d").in_(["abcd"]),
        col("va") == ["abcd"],
        col("va").in_([["abcd"]]),
        col("ts") == "2020-01-01T00:00:00.4Z",
    ]
    assert [predicate for predicate in same if matching(cursor, table, predicate) != [1]] == []
    assert [predicate for predicate in other if matching(cursor, table, predicate) != []] == []


def test_composites_of_nulls_are_not_null(cursor: Cursor[DictRow]) -> None:
    cursor.execute(
        "CREATE TYPE pair AS (x int, y text); CREATE TABLE t (id int PRIMARY KEY, p pair);"
        "INSERT INTO t VALUES (1, NULL), (2, ROW(NULL, NULL)), (3, ROW(1, NULL)), (4, ROW(1, 'a'))"
    )
    table = read_table(cursor, "t")
    assert matching(cursor, table, col("p").is_null()) == [1]
    assert matching(cursor, table, col("p").is_not_null()) == [2, 3, 4]
    assert matching(cursor, table, col("p") == '(1,"a")') == [4]


def test_membership_of_arrays_boxes_and_json(cursor: Cursor[DictRow]) -> None:
    cursor.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int[], b box, j jsonb);"
        """INSERT INTO t VALUES (1, '{1,2}', '((0,0),(1,1))', '{"a": [1.5, null]}'), (2, '{{1,2}}', '((0,0),(2,2))', '[1]'), (3, '{}', NULL, '"x"')"""
    )
    table = read_table(cursor, "t")
    assert matching(cursor, table, col("a").in_([[1, 2], []])) == [1, 3]
    assert matching(cursor, table, col("a").not_in([[1, 2], []])) == [2]
    assert matching(cursor, table, col("a").not_in([[[1, 2]]])) == [1, 3]
    assert matching(cursor, table, col("a").in_([])) == []
    assert matching(cursor, table, col("a").not_in([])) == [1, 2, 3]
    assert matching(cursor, table, col("b").in_(["((0,0),(1,1))", "((5,5),(7,9))"])) == [1]
    assert matching(cursor, table, col("j").in_([{"a": [1.5, None]}, [1]])) == [1, 2]
    assert matching(cursor, table, col("j") == '"x"') == [3]


HOSTILE_TEXTS = (
    "it's",
    '"',
    "%s",
    "%(p0)s",
    "%",
    "\\",
    "{}",
    "{0}",
    "NULL",
    "",
    " ",
    "a,b",
    "{",
    "😀",
    "$1",
    "--",
    "é",
    "\n\t",
)


def test_hostile_values_are_values(cursor: Cursor[DictRow]) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, v text, a text[], j jsonb)")
    table = read_table(cursor, "t")
    values: list[dict[str, Any]] = [
        {"id": number, "v": text, "a": [text, None]} for number, text in enumerate(HOSTILE_TEXTS)
    ]
    cursor.executemany(
        "INSERT INTO t VALUES (%(id)s, %(v)s, %(a)s, jsonb_build_object(%(v)s::text, %(v)s::text))",
        values,
    )
    for number, text in enumerate(HOSTILE_TEXTS):
        for predicate in (
            col("v") == text,
            col("v").in_([text, "no"]),
            col("v").between(text, text),
            col("a") == [text, None],
            col("a").in_([[text, None]]),
            col("j") == {text: text},
            col("j").in_([{text: text}]),
        ):
            assert matching(cursor, table, predicate) == [number], (text, predicate)


def test_what_json_smuggles_past_python_is_refused(cursor: Cursor[DictRow], table: Table) -> None:
    for predicate in (
        Comparison(column=TEXTS[0], op="eq", value="\0"),
        Comparison(column=TEXTS[0], op="like", value="\0"),
        Comparison(column=TEXTS[0], op="like", value=1),
        col(TEXTS[0]).like("a\\"),
        Comparison(column="a", op="eq", value=(1,)),
    ):
        with pytest.raises(InvalidValue):
            matching(cursor, table, predicate)
    with pytest.raises(UnknownColumn):
        matching(cursor, table, col("tableoid") == 1)
