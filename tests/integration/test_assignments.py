"""Assigned values and expressions on a real server: every type there and back, and what an expression gives."""

import uuid
from collections.abc import Generator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_interface
from typing import Any

import pytest
from psycopg import Connection, Cursor, errors, sql
from psycopg.rows import DictRow

from action_ledger.domain.columns import Operand, assignment, col
from action_ledger.domain.selection import Predicate
from action_ledger.workers.catalog import read_table
from action_ledger.workers.check import check
from action_ledger.workers.expressions import compile_assignment
from action_ledger.workers.literals import Parameters
from action_ledger.workers.predicate import compile_predicate
from action_ledger.workers.table import Table

pytestmark = pytest.mark.every_postgres

INFINITY = float("inf")
HOSTILE = "it's %s %(p0)s {} \\ \" é\u2028😀\n$1--"

# Declared type, the value given, and the text that PostgreSQL then shows.
VALUES: list[tuple[str, object, str | None]] = [
    ("smallint", -7, "-7"),
    ("integer", -(2**31), "-2147483648"),
    ("bigint", 2**63 - 1, "9223372036854775807"),
    ("numeric", Decimal("1.10"), "1.10"),
    ("numeric", 10**30, "1" + "0" * 30),
    ("numeric", float("nan"), "NaN"),
    ("numeric", INFINITY, "Infinity"),
    ("numeric(4,1)", Decimal("12.34"), "12.3"),
    ("real", 1.5, "1.5"),
    ("double precision", 1e-300, "1e-300"),
    ("double precision", 0.1 + 0.2, "0.30000000000000004"),
    ("double precision", -INFINITY, "-Infinity"),
    ("double precision", 3, "3"),
    ("boolean", True, "true"),
    ("boolean", 0, "false"),
    ("text", HOSTILE, HOSTILE),
    ("text", "", ""),
    ("text", "NULL", "NULL"),
    ("text", None, None),
    ("text", 5, "5"),
    ("text", True, "true"),
    ("varchar(3)", "abc", "abc"),
    ("varchar(3)", "ab    ", "ab "),
    ("char(5)", "ab", "ab   "),
    ("date", date(1, 2, 3), "0001-02-03"),
    ("date", "infinity", "infinity"),
    ("time", time(1, 2, 3, 4), "01:02:03.000004"),
    ("timestamp", datetime(2020, 5, 4, 3, 2, 1), "2020-05-04 03:02:01"),  # noqa: DTZ001
    ("timestamptz", datetime(2020, 5, 4, 3, 2, 1, 5, tzinfo=UTC), "2020-05-04 03:02:01.000005+00"),
    ("interval", timedelta(days=-1, seconds=-5, microseconds=-6), "-1 days -00:00:05.000006"),
    ("interval", timedelta(seconds=-1), "-00:00:01"),
    ("interval", "1 mon -2 days", "1 mon -2 days"),
    ("uuid", uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ("bytea", b"\x00\xff'\\", r"\x00ff275c"),
    ("json", {"a": [1.50, None, "x'"]}, '{"a": [1.5, null, "x\'"]}'),
    ("jsonb", {"b": Decimal("1.10"), "a": HOSTILE[:4]}, '{"a": "it\'s", "b": 1.10}'),
    ("jsonb", [1, 1.5, {"a": None}, "x", True], '[1, 1.5, {"a": null}, "x", true]'),
    ("jsonb", '"text"', '"text"'),
    ("jsonb", 5, "5"),
    ("jsonb[]", [{"a": 1}, {"b": [2]}], '{"{\\"a\\": 1}","{\\"b\\": [2]}"}'),
    ("text[]", ["a", None, "NULL", "", 'q"\\,{}'], '{a,NULL,"NULL","","q\\"\\\\,{}"}'),
    ("varchar(3)[]", ["abc"], "{abc}"),
    ("integer[]", [[1, 2], [3, None]], "{{1,2},{3,NULL}}"),
    ("integer[]", [], "{}"),
    ("double precision[]", [1.5, INFINITY], "{1.5,Infinity}"),
    ("timestamptz[]", [datetime(2020, 1, 1, tzinfo=UTC)], '{"2020-01-01 00:00:00+00"}'),
    ("bytea[]", [b"\\\x00"], '{"\\\\x5c00"}'),
    ("box[]", ["(1,1),(0,0)"], "{(1,1),(0,0)}"),
    ("inet", ip_interface("10.0.0.1/8"), "10.0.0.1/8"),
    ("inet", "::1", "::1/128"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    ("bit(3)", "101", "101"),
    ("tsvector", "'a':1", "'a':1"),
    ("point", "(1,2)", "(1,2)"),
    ("int4range", "[1,5)", "[1,5)"),
    ("int4multirange", "{[1,5)}", "{[1,5)}"),
    ("money", "-1.50", "-$1.50"),
    ("kinds.mood", 'so "so"', 'so "so"'),
    ("kinds.mood[]", ['so "so"'], '{"so \\"so\\""}'),
    ("kinds.short", "abc", "abc"),
    ("kinds.list", [1, 2], "{1,2}"),
    ("kinds.pair", '(1,"a b")', '(1,"a b")'),
]
XML: list[tuple[str, object, str | None]] = [("xml", "<a>é</a>", "<a>é</a>")]


@pytest.fixture
def cursor(connection: Connection[DictRow]) -> Generator[Cursor[DictRow]]:
    with connection.cursor() as opened:
        opened.execute(
            "CREATE SCHEMA kinds; CREATE TYPE kinds.mood AS ENUM ('sad', 'so \"so\"');"
            "CREATE TYPE kinds.pair AS (x int, y text); CREATE DOMAIN kinds.list AS int[];"
            "CREATE DOMAIN kinds.short AS varchar(3) CHECK (VALUE <> 'bad')"
        )
        yield opened


def assign(cursor: Cursor[DictRow], table: Table, values: Mapping[str, object]) -> DictRow:
    """Check, set, and give the one record as text."""
    given = {name: assignment(value) for name, value in values.items()}
    check(cursor, table, None, given)
    parameters = Parameters()
    parts = [
        sql.SQL("{} = {}").format(
            column.identifier,
            compile_assignment(given[column.name], table, "t", parameters, column),
        )
        for column in map(table.column, given)
    ]
    statement = sql.SQL("UPDATE {} AS t SET {}").format(table.identifier, sql.SQL(", ").join(parts))
    cursor.execute(statement, parameters.values)
    return _as_text(cursor, table)


def _as_text(cursor: Cursor[DictRow], table: Table) -> DictRow:
    names = [
        sql.SQL("{n}::text AS {n}").format(n=column.identifier)
        if column.type != "character(5)"
        else sql.SQL("rpad({n}, 5) AS {n}").format(n=column.identifier)
        for column in table.columns
    ]
    statement = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(names), table.identifier)
    row = cursor.execute(statement, {}).fetchone()
    assert row is not None
    return row


def test_values_of_every_type_there_and_back(cursor: Cursor[DictRow]) -> None:
    values = VALUES + XML if _has_xml(cursor) else VALUES
    declarations = ", ".join(f"c{n} {declared}" for n, (declared, _, _) in enumerate(values))
    create = f"CREATE TABLE everything ({declarations}, id int PRIMARY KEY); INSERT INTO everything (id) VALUES (1)"
    cursor.execute(sql.SQL(create))  # pyright: ignore[reportArgumentType]  # constants of this file
    cursor.execute("SET search_path = pg_catalog; SET lc_monetary = 'C'; SET TimeZone = 'UTC'")
    table = read_table(cursor, "public.everything")
    row = assign(cursor, table, {f"c{n}": value for n, (_, value, _) in enumerate(values)})
    shown = {f"{n} {declared}": row[f"c{n}"] for n, (declared, _, _) in enumerate(values)}
    assert shown == {f"{n} {declared}": text for n, (declared, _, text) in enumerate(values)}
    for style in ("SET DateStyle = 'SQL, DMY'", "SET IntervalStyle = sql_standard"):
        cursor.execute(style)
        _found_by_their_values(cursor, table)


def _has_xml(cursor: Cursor[DictRow]) -> bool:
    """Say whether the server was built with libxml; the embedded one was not."""
    try:
        cursor.execute("SELECT '<a/>'::xml")
    except errors.FeatureNotSupported:
        return False
    return True


def _found_by_their_values(cursor: Cursor[DictRow], table: Table) -> None:
    for number, (declared, value, _) in enumerate(VALUES):
        if value is None or declared in ("json", "xml", "point", "box[]", "numeric(4,1)"):
            continue  # no =, or rounded by the column
        column = col(f"c{number}")
        tests: list[Predicate] = [
            column == value,
            column.in_([value]),
            ~(column != value),
            column.between(value, value),
        ]
        for predicate in tests if declared != "varchar(3)" or value == "abc" else ():
            check(cursor, table, predicate)
            parameters = Parameters()
            condition = compile_predicate(predicate, table, "t", parameters)
            query = sql.SQL("SELECT id FROM {} AS t WHERE {}").format(table.identifier, condition)
            assert cursor.execute(query, parameters.values).fetchall() == [{"id": 1}], predicate


COMPUTED: list[tuple[str, Operand, str | None]] = [
    ("i", col("i") + 1, "8"),
    ("i", 1 - col("i"), "-6"),
    ("i", col("i") * 2, "14"),
    ("i", col("i") / 2, "3"),
    ("i", col("i") % 4, "3"),
    ("i", 10 % col("i"), "3"),
    ("i", -col("i"), "-7"),
    ("i", col("i") * 1.5, "10"),
    ("i", (col("i") + col("n")) * 2, "17"),
    ("i", col("z").coalesce(5), "5"),
    ("i", col("z") + 1, None),
    ("i", col("i").round(-1), "10"),
    ("big", col("big") + 2**40, "1099511627777"),
    ("n", col("n").round(1), "1.3"),
    ("n", col("n") + Decimal("0.05"), "1.30"),
    ("n", col("i") / Decimal(2), "3.5000000000000000"),
    ("f", col("f") / 4, "0.125"),
    ("f", col("f").round(0), "1"),
    ("t", col("t").upper(), " IT'S % "),
    ("t", col("t").trim().lower().concat("%s", "{}", col("i")), "it's %%s{}7"),
    ("t", col("i").concat("'"), "7'"),
    ("t", col("z").concat("x"), None),
    ("t", col("z").coalesce(col("i")).concat(""), "7"),
    ("d", col("d") + 30, "2020-03-01"),
    ("d", col("d") + timedelta(days=1), "2020-02-01"),
    ("ts", col("ts") - timedelta(hours=1, seconds=1), "2020-01-30 22:59:59+00"),
    ("iv", col("iv") * 2, "2 days"),
    ("iv", col("iv") + timedelta(seconds=-1), "1 day -00:00:01"),
    ("j", col("j").concat({"b": [1.5]}), '{"a": 1, "b": [1.5]}'),
    ("a", col("a").concat("y", ["z", 'q"']), '{x,y,z,"q\\""}'),
    ("b", col("b").coalesce(False), "false"),
    ("v", col("v").coalesce("zz"), "zz"),
]


def test_expressions_compute_as_postgresql_does(cursor: Cursor[DictRow]) -> None:
    cursor.execute(
        "SET TimeZone = 'UTC'; CREATE TABLE t (id int PRIMARY KEY, i int, big bigint, z int, n numeric, f float8, t text,"
        " d date, ts timestamptz, iv interval, j jsonb, a text[], b boolean, v varchar(3));"
        "INSERT INTO t VALUES (1, 7, 1, NULL, 1.25, 0.5, ' it''s % ', '2020-01-31', '2020-01-31', '1 day', '{\"a\": 1}',"
        " '{x}', NULL, NULL)"
    )
    table = read_table(cursor, "t")
    for name, operand, expected in COMPUTED:
        with cursor.connection.transaction(force_rollback=True):
            assert assign(cursor, table, {name: operand})[name] == expected, operand


def test_several_columns_read_the_record_as_it_was(cursor: Cursor[DictRow]) -> None:
    cursor.execute(
        'CREATE TABLE t (id int PRIMARY KEY, "a%" int, "b {}" int); INSERT INTO t VALUES (1, 2, 3)'
    )
    row: dict[str, Any] = assign(
        cursor, read_table(cursor, "t"), {"a%": col("b {}"), "b {}": col("a%") * 10}
    )
    assert row == {"id": "1", "a%": "3", "b {}": "20"}
