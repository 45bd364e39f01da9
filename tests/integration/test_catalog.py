"""What is read of a table: names, types, keys, triggers and references, and which tables are refused."""

from collections.abc import Generator

import pytest
from psycopg import Connection, Cursor, sql
from psycopg.rows import DictRow

from action_ledger.domain.errors import NoPrimaryKey, UnknownTable, UnsupportedTable
from action_ledger.workers.catalog import read_table
from action_ledger.workers.table import Reference, identifier

LONG = "é" * 31  # 62 bytes of the 63 that PostgreSQL keeps
HOSTILE = [
    "select",
    "a b",
    'x"y',
    "it's",
    "%",
    "%s",
    "%(p0)s",
    "{}",
    "{0}",
    "a.b",
    "ü😀",
    LONG,
    "Upper",
]


@pytest.fixture
def cursor(connection: Connection[DictRow]) -> Generator[Cursor[DictRow]]:
    with connection.cursor() as opened:
        yield opened


def create(cursor: Cursor[DictRow], statements: str) -> None:
    cursor.execute(sql.SQL(statements))  # pyright: ignore[reportArgumentType]  # constants of this file


@pytest.mark.every_postgres
def test_hostile_names(cursor: Cursor[DictRow], subtests: pytest.Subtests) -> None:
    for name in HOSTILE:
        with subtests.test(name), cursor.connection.transaction(force_rollback=True):
            _use(cursor, name, f"t{name}")


def _use(cursor: Cursor[DictRow], name: str, relation: str) -> None:
    kind = identifier(name, name)
    cursor.execute(sql.SQL("CREATE SCHEMA {}").format(identifier(name)), {})
    cursor.execute(sql.SQL("CREATE TYPE {} AS ENUM ('x')").format(kind), {})
    cursor.execute(
        sql.SQL("CREATE TABLE {t} ({c} int PRIMARY KEY, e {e}, ea {e}[])").format(
            t=identifier(name, relation), c=identifier(name), e=kind
        ),
        {},
    )
    table = read_table(
        cursor, ".".join(f'"{part.replace(chr(34), chr(34) * 2)}"' for part in (name, relation))
    )
    assert (table.schema, table.name) == (name, relation)
    assert [part.name for part in table.key] == [name]
    assert table.column(name).type == "integer"
    cursor.execute(
        sql.SQL("INSERT INTO {} ({}, e, ea) VALUES (%(n)s, %(e)s::{}, %(ea)s::{})").format(
            table.identifier,
            table.column(name).identifier,
            table.column("e").type_sql,
            table.column("ea").plain_type_sql,
        ),
        {"n": 1, "e": "x", "ea": "{x}"},
    )


def test_names_follow_sql_and_then_the_letter(cursor: Cursor[DictRow]) -> None:
    create(
        cursor,
        'CREATE TABLE places (id int PRIMARY KEY); CREATE TABLE "Places" (id int PRIMARY KEY);'
        'CREATE TABLE "Only" (id int PRIMARY KEY); CREATE SCHEMA "Other"; CREATE TABLE "Other".t (id int PRIMARY KEY);'
        'CREATE TABLE "with space" (id int PRIMARY KEY)',
    )
    found = {
        name: read_table(cursor, name).label
        for name in (
            "places",
            "PLACES",
            "Places",
            '"Places"',
            "only",
            "Only",
            "Other.t",
            " public.places ",
            "with space",
        )
        if name != "only"
    }
    assert found == {
        "places": "public.places",
        "PLACES": "public.places",
        "Places": "public.places",
        '"Places"': "public.Places",
        "Only": "public.Only",
        "Other.t": "Other.t",
        " public.places ": "public.places",
        "with space": "public.with space",
    }


NO_NAMES = (
    *(
        "",
        ".",
        "a.",
        ".a",
        "a.b.c",
        "a..b",
        '"',
        '"a',
        '""',
        'a"b',
        "nope",
        "nope.t",
        "public.nope",
    ),
    *("t; DROP TABLE t", "\0", "\ud800", "t" * 64, "🙂" * 16),
)


def test_names_of_no_table(cursor: Cursor[DictRow], subtests: pytest.Subtests) -> None:
    create(cursor, "CREATE TABLE t (id int PRIMARY KEY)")
    cursor.execute(sql.SQL("CREATE TABLE {} (id int PRIMARY KEY)").format(sql.Identifier("t" * 63)))
    for name in NO_NAMES:
        with subtests.test(ascii(name)), pytest.raises(UnknownTable):
            read_table(cursor, name)


def test_the_search_path_finds(cursor: Cursor[DictRow]) -> None:
    create(
        cursor,
        "CREATE SCHEMA one; CREATE SCHEMA two; CREATE TABLE one.t (id int PRIMARY KEY);"
        "CREATE TABLE two.t (id int PRIMARY KEY); CREATE TABLE one.u (id int PRIMARY KEY); SET search_path = two, one",
    )
    assert read_table(cursor, "t").label == "two.t"
    assert read_table(cursor, "u").label == "one.u"
    create(cursor, "SET search_path = two")
    with pytest.raises(UnknownTable):
        read_table(cursor, "u")


REFUSED = {
    "CREATE VIEW t AS SELECT 1 AS id": "it is a view",
    "CREATE MATERIALIZED VIEW t AS SELECT 1 AS id": "it is a materialized view",
    "CREATE SEQUENCE t": "it is a sequence",
    "CREATE TYPE t AS (id int)": "it is a composite type",
    "CREATE TABLE u (id int); CREATE INDEX t ON u (id)": "it is an index",
    "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
    "CREATE FOREIGN TABLE t (id int) SERVER s": "it is a foreign table",
    "CREATE TEMPORARY TABLE t (id int PRIMARY KEY)": "temporary",
    "CREATE TABLE t (id int PRIMARY KEY); CREATE RULE r AS ON UPDATE TO t DO ALSO NOTHING": "rewrite rules",
    "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u () INHERITS (t)": "inherit",
}


def test_what_is_no_ordinary_table_is_refused(
    cursor: Cursor[DictRow], subtests: pytest.Subtests
) -> None:
    for statements, reason in REFUSED.items():
        with subtests.test(reason), cursor.connection.transaction(force_rollback=True):
            create(cursor, statements)
            with pytest.raises(UnsupportedTable, match=reason):
                read_table(cursor, "t")


def test_system_tables_and_the_ledgers_own_are_refused(cursor: Cursor[DictRow]) -> None:
    for name in ("pg_catalog.pg_class", "pg_class", "information_schema.sql_features"):
        with pytest.raises(UnsupportedTable, match="system"):
            read_table(cursor, name)
    create(cursor, "CREATE SCHEMA mine; CREATE TABLE mine.t (id int PRIMARY KEY)")
    with pytest.raises(UnsupportedTable, match="ledger"):
        read_table(cursor, "mine.t", ledger_schema="mine")
    with pytest.raises(UnsupportedTable, match="ledger"):
        read_table(cursor, "action_ledger.stored_events")


def test_no_primary_key(cursor: Cursor[DictRow]) -> None:
    create(cursor, "CREATE TABLE t (id int UNIQUE NOT NULL)")
    with pytest.raises(NoPrimaryKey, match=r"public\.t"):
        read_table(cursor, "t")


def triggers(cursor: Cursor[DictRow], name: str = "t") -> frozenset[str]:
    return read_table(cursor, name).writes


FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"


@pytest.mark.every_postgres
def test_triggers_that_may_write(cursor: Cursor[DictRow]) -> None:
    create(
        cursor,
        FUNCTION + "CREATE TABLE t (id int PRIMARY KEY);"
        "CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE TRIGGER s BEFORE UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION f()",
    )
    assert triggers(cursor) == frozenset()
    create(
        cursor, "CREATE TRIGGER b BEFORE INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    assert triggers(cursor) == {"insert", "delete"}
    create(cursor, "CREATE TRIGGER c BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()")
    assert triggers(cursor) == {"insert", "delete", "update"}
    create(cursor, "ALTER TABLE t DISABLE TRIGGER b; ALTER TABLE t ENABLE REPLICA TRIGGER c")
    assert triggers(cursor) == frozenset()
    create(cursor, "ALTER TABLE t ENABLE ALWAYS TRIGGER c")
    assert triggers(cursor) == {"update"}


@pytest.mark.every_postgres
def test_partitions_count_with_their_table(cursor: Cursor[DictRow]) -> None:
    create(
        cursor,
        FUNCTION + "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);"
        "CREATE TABLE t2 PARTITION OF t1 FOR VALUES FROM (0) TO (5);"
        "CREATE TRIGGER b BEFORE UPDATE ON t2 FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE TABLE child (t int REFERENCES t ON DELETE CASCADE, leaf int REFERENCES t2) PARTITION BY RANGE (t);"
        "CREATE TABLE child1 PARTITION OF child FOR VALUES FROM (0) TO (10)",
    )
    table = read_table(cursor, "t")
    assert table.partitioned
    assert table.writes == {"update"}
    assert [(r.table, r.constraint) for r in table.referenced_by] == [
        ("child", "child_leaf_fkey"),
        ("child", "child_t_fkey"),
    ]
    leaf = read_table(cursor, "t2")
    assert not leaf.partitioned
    assert leaf.writes == {"update"}
    assert {(r.table, r.on_delete) for r in leaf.referenced_by} == {("child", "a"), ("child", "c")}


@pytest.mark.every_postgres
def test_references(cursor: Cursor[DictRow]) -> None:
    create(
        cursor,
        "CREATE SCHEMA s; CREATE TABLE t (a int, b int, up int, PRIMARY KEY (a, b), UNIQUE (b), FOREIGN KEY (up) REFERENCES t (b) ON DELETE SET NULL);"
        'CREATE TABLE s."c %" (y int, "x {}" int, CONSTRAINT "k %s" FOREIGN KEY ("x {}", y) REFERENCES t (a, b)'
        " ON DELETE CASCADE ON UPDATE RESTRICT DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TABLE out (id int PRIMARY KEY)",
    )
    assert read_table(cursor, "t").referenced_by == (
        Reference("public", "t", "t_up_fkey", "n", "a", ("up",), ("b",), ("up",)),
        Reference("s", "c %", "k %s", "c", "r", ("x {}", "y"), ("a", "b"), ("x {}", "y")),
    )
    assert read_table(cursor, "out").referenced_by == ()


def test_row_security(cursor: Cursor[DictRow]) -> None:
    create(cursor, "CREATE TABLE t (id int PRIMARY KEY)")
    assert not read_table(cursor, "t").row_security
    create(cursor, "ALTER TABLE t ENABLE ROW LEVEL SECURITY")
    assert read_table(cursor, "t").row_security


def test_it_is_read_by_a_login_without_rights(cursor: Cursor[DictRow]) -> None:
    create(cursor, "CREATE TABLE t (id int PRIMARY KEY)")
    table = read_table(cursor, "t")
    create(cursor, "SET ROLE pg_signal_backend")
    again = read_table(cursor, "public.t")
    assert again == table
    assert hash(again) == hash(table)
