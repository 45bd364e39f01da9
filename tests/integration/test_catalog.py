"""What is read of a table: names, types, keys, triggers and references, and which tables are refused."""

from collections.abc import Generator
import pytest
from psycopg import Connection, Cursor, sql
from psycopg.rows import DictRow

from action_ledger.domain.errors import NoPrimaryKey, UnknownColumn, UnknownTable, UnsupportedTable
from action_ledger.workers.catalog import Column, Reference, identifier, read_table

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


def columns(cursor: Cursor[DictRow], name: str = "t") -> dict[str, Column]:
    return {column.name: column for column in read_table(cursor, name).columns}


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


TYPES = {
    "bigint": ("bigint", "bigint"),
    "numeric(5,2)": ("numeric(5,2)", "numeric"),
    "varchar(3)": ("character varying(3)", "character varying"),
    "varchar(3)[]": ("character varying(3)[]", "character varying[]"),
    "char(4)": ("character(4)", "bpchar"),
    "char(4)[][]": ("character(4)[]", "bpchar[]"),
    "bit(3)": ("bit(3)", '"bit"'),
    "varbit(3)": ("bit varying(3)", "bit varying"),
    '"char"': ('"char"', '"char"'),
    "timestamptz(3)": ("timestamp(3) with time zone", "timestamp with time zone"),
    "interval day to second(2)": ("interval day to second(2)", "interval"),
    "jsonb": ("jsonb", "jsonb"),
    "int4range": ("int4range", "int4range"),
    "kinds.mood": ("kinds.mood", "kinds.mood"),
    "kinds.mood[]": ("kinds.mood[]", "kinds.mood[]"),
    "kinds.pair": ("kinds.pair", "kinds.pair"),
    "kinds.short": ("kinds.short", "character varying"),
    "kinds.shorter": ("kinds.shorter", "character varying"),
    "kinds.shorter[]": ("kinds.shorter[]", "kinds.shorter[]"),
    "kinds.list": ("kinds.list", "integer[]"),
    "kinds.moods": ("kinds.moods", "kinds.mood[]"),
    "kinds.document": ("kinds.document", "jsonb"),
    'kinds."int4"': ("kinds.int4", "kinds.int4"),
}


@pytest.mark.every_postgres
def test_types_mean_the_same_under_any_search_path(
    cursor: Cursor[DictRow], subtests: pytest.Subtests
) -> None:
    create(
        cursor,
        "CREATE SCHEMA kinds; CREATE TYPE kinds.mood AS ENUM ('sad'); CREATE TYPE kinds.pair AS (x int, y text);"
        "CREATE DOMAIN kinds.short AS varchar(3); CREATE DOMAIN kinds.shorter AS kinds.short CHECK (VALUE <> 'bad');"
        "CREATE DOMAIN kinds.list AS int[]; CREATE DOMAIN kinds.moods AS kinds.mood[];"
        "CREATE DOMAIN kinds.document AS jsonb; CREATE TYPE kinds.int4 AS ENUM ('mine')",
    )
    names = {f"c{n}": declared for n, declared in enumerate(TYPES)}
    declarations = ", ".join(f"{name} {declared}" for name, declared in names.items())
    create(cursor, f"CREATE TABLE t (id int PRIMARY KEY, {declarations})")
    for search_path in ("public", "kinds, public", "kinds, pg_catalog", "pg_catalog"):
        with subtests.test(search_path):
            create(cursor, f"SET search_path = {search_path}")
            found = columns(cursor, "public.t")
            assert {
                names[name]: (found[name].type, found[name].plain_type) for name in names
            } == TYPES
            for name, column in found.items():
                cursor.execute(
                    sql.SQL("SELECT NULL::{}, NULL::{}, {} FROM public.t").format(
                        column.type_sql, column.plain_type_sql, identifier(name)
                    ),
                    {},
                )


@pytest.mark.every_postgres
def test_kinds_of_columns(cursor: Cursor[DictRow]) -> None:
    create(
        cursor,
        "CREATE DOMAIN document AS json; CREATE DOMAIN list AS text[];"
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, d int GENERATED BY DEFAULT AS IDENTITY,"
        " g int GENERATED ALWAYS AS (1) STORED, gone int, j json, jb jsonb, jba jsonb[], dj document, a int[], da list,"
        " b box, ba box[], v int2vector, n text NOT NULL); ALTER TABLE t DROP gone",
    )
    found = columns(cursor)

    def which(attribute: str) -> set[str]:
        return {name for name, column in found.items() if getattr(column, attribute)}

    assert list(found) == ["id", "d", "g", "j", "jb", "jba", "dj", "a", "da", "b", "ba", "v", "n"]
    assert which("identity_always") == {"id"}
    assert which("generated") == {"g"}
    assert which("not_null") == {"id", "d", "n"}
    assert which("is_json") == {"j", "jb", "dj"}
    assert which("is_array") == {"jba", "a", "da", "ba"}
    assert which("is_domain") == {"dj", "da"}
    assert {name for name, column in found.items() if column.delimiter == ";"} == {"b", "ba"}


@pytest.mark.every_postgres
def test_a_virtual_column_is_generated(cursor: Cursor[DictRow]) -> None:
    if cursor.connection.info.server_version < 180000:
        return  # there are none before
    create(
        cursor, "CREATE TABLE t (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id + 1) VIRTUAL)"
    )
    assert columns(cursor)["g"].generated


def test_the_key_is_in_index_order_and_without_included_columns(cursor: Cursor[DictRow]) -> None:
    create(cursor, "CREATE TABLE t (a int, b uuid, c text, d int, PRIMARY KEY (c, a) INCLUDE (d))")
    assert [column.name for column in read_table(cursor, "t").key] == ["c", "a"]


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


def test_an_unknown_column_is_told_with_those_like_it(cursor: Cursor[DictRow]) -> None:
    create(cursor, 'CREATE TABLE t (id int PRIMARY KEY, status text, "Name" text)')
    table = read_table(cursor, "t")
    with pytest.raises(UnknownColumn) as raised:
        table.column("statsu")
    assert raised.value.suggestions == ("status",)
    with pytest.raises(UnknownColumn, match="Did you mean Name"):
        table.column("name")
    with pytest.raises(UnknownColumn):
        table.column("ctid")


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
        Reference("public", "t", "t_up_fkey", "n", "a", ("up",), ("b",)),
        Reference("s", "c %", "k %s", "c", "r", ("x {}", "y"), ("a", "b")),
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
