"""The check before the plan: every mistake is one of our errors that names the column, and nothing is touched."""

from collections.abc import Generator

import psycopg
import pytest
from psycopg import Connection, Cursor
from psycopg.rows import DictRow

from action_ledger.domain.columns import assignment, col
from action_ledger.domain.errors import (
    ActionLedgerError,
    ColumnNotWritable,
    InvalidExpression,
    InvalidValue,
    PermissionDenied,
    UnknownColumn,
    UnsupportedComparison,
)
from action_ledger.domain.selection import Predicate
from action_ledger.workers.catalog import read_table
from action_ledger.workers.check import check
from action_ledger.workers.table import Table

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def cursor(connection: Connection[DictRow]) -> Generator[Cursor[DictRow]]:
    with connection.transaction(force_rollback=True), connection.cursor() as opened:
        opened.execute(
            "CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'bad');"
            "CREATE DOMAIN present AS int NOT NULL;"
            "CREATE TABLE t (id int PRIMARY KEY, i int, n numeric(4,1), f float8, t text, v varchar(3), c char(3),"
            " d date, ts timestamptz, u uuid, by bytea, j json, jb jsonb, x xml, p point, a int[], va varchar(3)[],"
            " m mood, s short, pr present DEFAULT 1, r int4range, bt bit(2), b boolean, nn int NOT NULL,"
            ' "it\'s %s" int,'
            " g int GENERATED ALWAYS AS (1) STORED, ident int GENERATED ALWAYS AS IDENTITY);"
            "INSERT INTO t (id, nn) VALUES (1, 1)"
        )
        yield opened


@pytest.fixture
def table(cursor: Cursor[DictRow]) -> Table:
    return read_table(cursor, "t")


PREDICATES: list[tuple[Predicate, type[ActionLedgerError], str | None]] = [
    (col("i") == "x", InvalidValue, "i"),
    (col("i") == True, InvalidValue, "i"),  # noqa: E712
    (col("i") == 2**31, InvalidValue, "i"),
    (col("i") == 1.5, InvalidValue, "i"),
    (col("i") == [1], InvalidValue, "i"),
    (col("i") == {"a": 1}, InvalidValue, "i"),
    (col("i").in_([1, "x"]), InvalidValue, "i"),
    (col("i").between(1, ""), InvalidValue, "i"),
    (col("it's %s") == "x", InvalidValue, "it's %s"),
    (col("d") == "2020-13-01", InvalidValue, "d"),
    (col("d") == 5, InvalidValue, "d"),
    (col("ts") == "nonsense", InvalidValue, "ts"),
    (col("u") == "1", InvalidValue, "u"),
    (col("by") == r"\x1", InvalidValue, "by"),
    (col("jb") == "x", InvalidValue, "jb"),
    (col("jb") == r'"\u0000"', InvalidValue, "jb"),
    (col("a") == [[1], [2, 3]], InvalidValue, "a"),
    (col("a") == "x", InvalidValue, "a"),
    (col("m") == "happy", InvalidValue, "m"),
    (col("r") == "[5,1)", InvalidValue, "r"),
    (col("b") == "maybe", InvalidValue, "b"),
    (col("bt") == "2", InvalidValue, "bt"),
    ((col("t") == "a") & ~((col("d") == 5) | (col("i") == 1)), InvalidValue, "d"),
    (col("j") == {"a": 1}, UnsupportedComparison, "j"),
    (col("j").in_(["{}"]), UnsupportedComparison, "j"),
    (col("x") == "<a/>", UnsupportedComparison, "x"),
    (col("p") == "(1,2)", UnsupportedComparison, "p"),
    (col("p") < "(1,2)", UnsupportedComparison, "p"),
    (col("j").between("1", "2"), UnsupportedComparison, "j"),
    (col("i").like("1%"), UnsupportedComparison, "i"),
    (col("nope") == 1, UnknownColumn, "nope"),
    (col("ID").is_null(), UnknownColumn, "ID"),
    ((col("i") + col("t")) > 3, InvalidExpression, None),
    (col("t") == col("i"), InvalidExpression, None),
    ((col("i") + col("nope")) > 3, UnknownColumn, "nope"),
]


def test_predicates(cursor: Cursor[DictRow], table: Table, subtests: pytest.Subtests) -> None:
    for predicate, error, column in PREDICATES:
        with subtests.test(str(predicate)):
            with pytest.raises(error) as raised:
                check(cursor, table, predicate)
            assert raised.value.attributes["column"] == column
            assert cursor.execute("SELECT 1 AS one").fetchone() == {"one": 1}


ASSIGNMENTS: list[tuple[dict[str, object], type[ActionLedgerError], str]] = [
    ({"t": "fine", "i": "x"}, InvalidValue, "i"),
    ({"i": 2**31}, InvalidValue, "i"),
    ({"i": 1.5}, InvalidValue, "i"),
    ({"n": 12345}, InvalidValue, "n"),
    ({"v": "abcd"}, InvalidValue, "v"),
    ({"c": "abcd"}, InvalidValue, "c"),
    ({"va": ["abcd"]}, InvalidValue, "va"),
    ({"bt": "101"}, InvalidValue, "bt"),
    ({"s": "abcd"}, InvalidValue, "s"),
    ({"s": "bad"}, InvalidValue, "s"),
    ({"pr": None}, InvalidValue, "pr"),
    ({"nn": None}, InvalidValue, "nn"),
    ({"j": "x"}, InvalidValue, "j"),
    ({"x": "<a>"}, InvalidValue, "x"),
    ({"g": 1}, ColumnNotWritable, "g"),
    ({"ident": 1}, ColumnNotWritable, "ident"),
    ({"nope": 1}, UnknownColumn, "nope"),
    ({"i": col("nope")}, UnknownColumn, "nope"),
    ({"i": col("t") + 1}, InvalidExpression, "i"),
    ({"i": col("t")}, InvalidExpression, "i"),
    ({"t": col("i").lower()}, InvalidExpression, "t"),
    ({"t": 1, "i": col("i").coalesce("x")}, InvalidExpression, "i"),
    ({"d": col("d") + col("d")}, InvalidExpression, "d"),
]


def test_assignments(cursor: Cursor[DictRow], table: Table, subtests: pytest.Subtests) -> None:
    for values, error, column in ASSIGNMENTS:
        with subtests.test(str(values)):
            with pytest.raises(error) as raised:
                check(
                    cursor, table, None, {name: assignment(value) for name, value in values.items()}
                )
            assert raised.value.attributes["column"] == column
            assert cursor.execute("SELECT 1 AS one").fetchone() == {"one": 1}


def test_messages_say_what_where_and_why(cursor: Cursor[DictRow], table: Table) -> None:
    with pytest.raises(InvalidValue) as raised:
        check(cursor, table, col("i") == "x", {"t": assignment("fine")})
    assert str(raised.value) == (
        "Value 'x' cannot be used for column i of public.t (integer): "
        'invalid input syntax for type integer: "x".'
    )
    assert isinstance(raised.value.__cause__, psycopg.errors.InvalidTextRepresentation)
    with pytest.raises(
        UnsupportedComparison,
        match=r"Column p of public.t cannot be compared with ==: its type point",
    ):
        check(cursor, table, col("p") == "(1,2)")
    with pytest.raises(InvalidValue) as raised:
        check(cursor, table, col("i") == "x" * 10_000)
    assert len(str(raised.value)) < 500


def test_what_is_sound_passes_and_touches_nothing(cursor: Cursor[DictRow], table: Table) -> None:
    cursor.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END';"
        "CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION f();"
        "CREATE TRIGGER b BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    check(cursor, table)
    check(cursor, table, (col("v") == "abcd") & col("i").in_([]) & (col("f") == "NaN"))
    check(
        cursor,
        table,
        None,
        {"v": assignment("ab       "), "n": assignment(1.26), "nn": assignment(col("i"))},
    )
    check(
        cursor,
        table,
        col("id") == 1,
        {"t": assignment(None), "s": assignment("abc"), "i": assignment(col("i") / 0)},
    )
    assert cursor.execute("SELECT i, v, nn FROM t").fetchone() == {"i": None, "v": None, "nn": 1}


def test_a_trigger_may_fill_a_null(cursor: Cursor[DictRow]) -> None:
    cursor.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.nn := 1; RETURN NEW; END';"
        "CREATE TRIGGER b BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    check(cursor, read_table(cursor, "t"), None, {"nn": assignment(None)})


def test_rights(cursor: Cursor[DictRow], table: Table) -> None:
    cursor.execute("GRANT SELECT ON t TO pg_signal_backend; SET LOCAL ROLE pg_signal_backend")
    check(cursor, table, col("i") == 1)
    with pytest.raises(PermissionDenied, match=r"public\.t: permission denied"):
        check(cursor, table, col("i") == 1, {"i": assignment(2)})


def test_other_failures_are_not_the_commands(cursor: Cursor[DictRow], table: Table) -> None:
    cursor.execute("DROP TABLE t")
    with pytest.raises(psycopg.errors.UndefinedTable):
        check(cursor, table, col("i") == 1)


def test_it_is_not_fooled_by_prepared_plans(cursor: Cursor[DictRow], table: Table) -> None:
    for _ in range(20):
        check(cursor, table, None, {"v": assignment("abc")})
    with pytest.raises(InvalidValue):
        check(cursor, table, None, {"v": assignment("abcd")})
