"""Keys of any type: planned, streamed, given one by one, changed, moved to another partition, and undone."""

from dataclasses import dataclass
from typing import LiteralString

import pytest
from psycopg import Connection, sql
from psycopg.errors import FeatureNotSupported
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.values import Literal
from action_ledger.ops import Ledger
from tests.exact import dump, run
from tests.invariants import check_invariants

TABLE = sql.Identifier("public", "keyed")


@dataclass(frozen=True)
class Kind:
    """A kind of key: its columns, and values in the server's order; `before` makes what they need."""

    columns: LiteralString
    keys: tuple[Literal, ...]
    before: LiteralString = ""


KINDS = {
    "bigint": Kind("k1 bigint", (-(2**63), 0, 1, 2, 2**63 - 1)),
    "smallint": Kind("k1 smallint", (-1, 0, 1, 2, 3)),
    "uuid": Kind(
        "k1 uuid", tuple(f"{n}0000000-0000-0000-0000-00000000000f" for n in (0, 3, 7, "a", "f"))
    ),
    "text": Kind("k1 text", ("", " ", "%s {}", "NULL", "é\"\\,'\n")),
    "text_posix": Kind('k1 text COLLATE "POSIX"', ("", "A", "Z", "a", "é")),
    "varchar": Kind("k1 varchar(4)", ("", "a", "a ", "ab", "b")),
    "char": Kind("k1 char(4)", ("", "a", "ab", "abc", "b")),
    "bpchar": Kind("k1 bpchar", ("", "a", "ab", "abc", "b")),
    "char_byte": Kind('k1 "char"', ("", "'", ",", "\\", "a")),
    "name": Kind("k1 name", ("", "a", "n" * 63, "o", "p")),
    "boolean_and_int": Kind(
        "k1 bool, k2 int", tuple((b, n) for b in (False, True) for n in (1, 2, 3))[:5]
    ),
    "three_parts": Kind(
        "b1 text, o1 date, k1 numeric",
        (
            *(("a", "2024-01-01", "1.0"), ("a", "2024-01-01", "1.01"), ("a", "infinity", "-1")),
            *(("b,", "0044-03-15 BC", "NaN"), ("b,", "2024-01-01", "Infinity")),
        ),
    ),
    "date": Kind(
        "k1 date", ("-infinity", "0044-03-15 BC", "2024-02-03", "12345-01-01", "infinity")
    ),
    "timestamptz": Kind(
        "k1 timestamptz",
        (
            "-infinity",
            "2024-02-03 04:05:06+00",
            "2024-02-03 04:05:06.000001+00",
            "2025-01-01+00",
            "infinity",
        ),
    ),
    "interval": Kind("k1 interval", ("-1 mons", "00:00:00.000001", "1 day", "2 days", "1 year")),
    "numeric": Kind("k1 numeric", ("-Infinity", "1.00", "1.5", "1e100", "NaN")),
    "float": Kind("k1 float8", ("-Infinity", "5e-324", "0.1", "Infinity", "NaN")),
    "bytea": Kind("k1 bytea", ("\\x", "\\x00", "\\x22", "\\x5c", "\\xff")),
    "inet": Kind("k1 inet", ("10.0.0.0/8", "10.0.0.1", "10.0.0.2", "::1", "fe80::/10")),
    "array": Kind("k1 int[]", ((), (1,), (1, 2), (2,), (3, None))),
    "text_array": Kind("k1 text[]", ((), ("",), ("NULL",), ("a", '",{}'), ("b",))),
    "enum": Kind(
        "k1 mood",
        ("z", "NULL", "a b", "%s", "b"),
        "CREATE TYPE mood AS ENUM ('z', 'NULL', 'a b', '%s', 'b')",
    ),
    "domain": Kind(
        "k1 code", ("a", "b", "c", "d", "e"), "CREATE DOMAIN code AS varchar(2) CHECK (VALUE <> '')"
    ),
    "range": Kind("k1 int4range", ("empty", "(,1)", "[1,2)", "[1,3)", "[4,)")),
    "composite": Kind(
        "k1 pair",
        ("(1,)", '(1,"a b")', "(1,c)", "(2,)", "(3,)"),
        "CREATE TYPE pair AS (x int, y text)",
    ),
    "bits": Kind("k1 bit(3)", ("000", "001", "010", "100", "111")),
    "jsonb": Kind("k1 jsonb", ('"a"', "1", "true", "[1, 2]", '{"a": 1}')),
}


def make(connection: Connection[DictRow], kind: Kind) -> None:
    names = [part.split()[0] for part in kind.columns.split(",")]
    if kind.before:
        run(connection, kind.before)
    connection.execute(
        sql.SQL("CREATE TABLE keyed ({}, n int NOT NULL DEFAULT 0, PRIMARY KEY ({}))").format(
            sql.SQL(kind.columns), sql.SQL(", ").join(map(sql.Identifier, names))
        )
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_key(ledger: Ledger, connection: Connection[DictRow], name: str) -> None:
    kind = KINDS[name]
    make(connection, kind)
    keyed = ledger.on("keyed")
    for key in kind.keys:
        parts = key if isinstance(key, tuple) and "," in kind.columns else (key,)
        texts = [list(part) if isinstance(part, tuple) else part for part in parts]
        connection.execute(
            sql.SQL("INSERT INTO keyed VALUES ({})").format(
                sql.SQL(", ").join(map(sql.Literal, texts))
            )
        )
    before = dump(connection, TABLE)
    for request in (
        keyed.all().update(n=1).batch_size(2),
        keyed.all().update(n=1).batch_size(2).streaming(),
        keyed.keys(iter(kind.keys)).delete(hard=True).batch_size(3),
    ):
        execution = request.by("tester").run()
        assert execution.progress().applied == 5, [*execution.failures(), *execution.skipped()]
        some = execution.undo(by="tester").keys(kind.keys[1:3]).run()
        assert some.progress().applied == 2
        assert execution.undo(by="tester").run().progress().applied == 3
        assert dump(connection, TABLE) == before
        assert some.redo(by="tester").run().progress().applied == 2
        assert execution.undo(by="tester").run().progress().applied == 2
        assert dump(connection, TABLE) == before
    check_invariants(connection)


@pytest.mark.every_postgres
@pytest.mark.parametrize("captured", ["touched_columns", "whole_rows"])
def test_a_key_that_is_changed(
    ledger: Ledger, connection: Connection[DictRow], captured: str
) -> None:
    run(
        connection,
        "CREATE TABLE keyed (a text, b int, v text, PRIMARY KEY (a, b))",
        "INSERT INTO keyed SELECT 'x', i, 'v' || i FROM generate_series(1, 9) i",
        "INSERT INTO keyed VALUES ('x', 108, 'in the way')",
    )
    if captured == "whole_rows":
        run(
            connection,
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "CREATE TRIGGER look BEFORE UPDATE ON keyed FOR EACH ROW EXECUTE FUNCTION look()",
        )
    before = dump(connection, TABLE)
    request = ledger.on("keyed").where(col("b") < 100).update(b=col("b") + 100).batch_size(4)
    execution = request.by("tester").run()
    assert [(o.key, o.sqlstate) for o in execution.failures()] == [(("x", "8"), "23505")]
    after = dump(connection, TABLE)
    check_invariants(connection, tables=["public.keyed"])
    undo = execution.undo(by="tester").run()
    assert dump(connection, TABLE) == before
    redo = undo.redo(by="tester").run()
    assert dump(connection, TABLE) == after
    # A record goes by the key that was planned, wherever it is by now.
    assert redo.redo(by="tester").keys([("x", 1), ("x", 2)]).run().progress().applied == 2
    run(
        connection,
        "UPDATE keyed SET b = 1000 WHERE b = 103",  # gone from where the ledger left it
        "INSERT INTO keyed VALUES ('x', 4, 'taken')",
    )
    last = execution.undo(by="tester").run()
    assert [(o.key, o.reason) for o in last.conflicts()] == [(("x", "3"), "gone")]
    assert [(o.key, o.sqlstate) for o in last.failures()] == [(("x", "4"), "23505")]
    assert last.progress().applied == 4
    check_invariants(connection)


@pytest.mark.every_postgres
def test_a_row_that_moves_to_another_partition(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    run(
        connection,
        "CREATE TABLE keyed (id int, at date, v text, n int DEFAULT 0, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
        "CREATE TABLE old PARTITION OF keyed FOR VALUES FROM (MINVALUE) TO ('2020-01-01')",
        # Columns in another order, and one that was dropped.
        "CREATE TABLE new (gone int, v text, n int, at date NOT NULL, id int NOT NULL)",
        "ALTER TABLE new DROP gone",
        "ALTER TABLE keyed ATTACH PARTITION new FOR VALUES FROM ('2020-01-01') TO ('2030-01-01')",
        "INSERT INTO keyed SELECT i, '2010-01-01', 'v' || i FROM generate_series(1, 6) i",
        "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.n := NEW.n + 1; RETURN NEW; END'",
    )
    before = dump(connection, TABLE)
    execution = ledger.on("keyed").all().update(at="2025-01-01").by("tester").run()
    assert execution.progress().applied == 6
    after = dump(connection, TABLE)
    undo = execution.undo(by="tester").run()
    assert dump(connection, TABLE) == before
    undo.redo(by="tester").run()
    assert dump(connection, TABLE) == after
    check_invariants(connection, tables=["public.keyed"])
    # An insert to the trigger, an update to the ledger: it writes a column along, and that is captured.
    run(connection, "CREATE TRIGGER s BEFORE INSERT ON new FOR EACH ROW EXECUTE FUNCTION stamp()")
    execution.undo(by="tester").run()
    again = ledger.on("keyed").all().update(at="2026-01-01").by("tester").run()
    check_invariants(connection, tables=["public.keyed"])
    undo = again.undo(by="tester").run()
    assert (undo.progress().applied, undo.excepted) == (6, [])
    assert dump(connection, TABLE) == before
    outside = ledger.on("keyed").where(col("id") > 4).update(at="2040-01-01").by("tester").run()
    assert {o.sqlstate for o in outside.failures()} == {"23514"}


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    ("definition", "key"),
    [
        ("CREATE EXTENSION citext", "citext"),
        (
            "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            "text COLLATE loose",
        ),
    ],
    ids=["citext", "nondeterministic_collation"],
)
def test_keys_that_are_equal_and_not_the_same(
    ledger: Ledger, connection: Connection[DictRow], definition: LiteralString, key: LiteralString
) -> None:
    try:
        run(connection, definition)
    except FeatureNotSupported as error:
        pytest.skip(f"this server does not have it: {error}")
    connection.execute(sql.SQL("CREATE TABLE keyed (k {} PRIMARY KEY, n int)").format(sql.SQL(key)))
    run(connection, "INSERT INTO keyed VALUES ('Anna', 0), ('Bert', 0), ('Cleo', 0)")
    before = dump(connection, TABLE)
    for request in (
        ledger.on("keyed").keys(["ANNA", "anna", "cleO"]).update(n=1),
        ledger.on("keyed").keys(iter(["ANNA", "anna", "cleO"])).delete(hard=True),
        ledger.on("keyed").where(col("k").in_(["ANNA", "CLEO"])).delete(hard=True),
    ):
        execution = request.by("tester").run()
        assert (execution.progress().total, execution.progress().applied) == (2, 2)
        some = execution.undo(by="tester").keys(["aNNA"]).run()
        assert some.progress().applied == 1
        assert execution.undo(by="tester").run().progress().applied == 1
        assert dump(connection, TABLE) == before
        some.redo(by="tester").run()
        run(
            connection,
            "UPDATE keyed SET n = 9 WHERE k = 'anna'",
            "INSERT INTO keyed VALUES ('aNNa', 9) ON CONFLICT DO NOTHING",
        )
        again = execution.undo(by="tester").run()
        assert (again.progress().applied, again.progress().skipped) == (0, 1)
        run(connection, "UPDATE keyed SET n = 0, k = 'Anna' WHERE k = 'anna'")
        assert dump(connection, TABLE) == before
