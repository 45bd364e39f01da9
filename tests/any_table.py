"""Any table, any rows, any action and any outsider: strategies, and the table that is made of what they draw."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from hypothesis import strategies as st
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col

Samples = Mapping[str, Sequence[str]]
KeyType = Literal["bigint", "int", "uuid", "text"]
Kind = Literal["update", "shift", "soft", "hard", "restore", "archive"]
Meddling = Literal["change", "delete", "insert", "beside"]

NAME = "public.anything"
TABLE = sql.Identifier("public", "anything")
NAMES = (
    "plain",
    "Odd name",
    'q"uote',
    "per%s cent",
    "{braces}",
    "select",
    "é漢",
    "k1",
    "t",
    "before",
)
MARKS = ("timestamptz", "boolean", "date", "timestamp(0)")
NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float8"})
TEXTS = frozenset({"text", "varchar", "bpchar"})

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
).map(json.dumps)
DRAWN: Mapping[str, st.SearchStrategy[str]] = {
    **dict.fromkeys(TEXTS, TEXT),
    "int2": st.integers(-(2**15), 2**15 - 1).map(str),
    "int4": st.integers(-(2**31), 2**31 - 1).map(str),
    "int8": st.integers(-(2**63), 2**63 - 1).map(str),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False).map(str),
    "float4": st.floats(width=32).map(str),
    "float8": st.floats().map(str),
    "bytea": st.binary(max_size=20).map(lambda value: "\\x" + value.hex()),
    "uuid": st.uuids().map(str),
    "json": JSON,
    "jsonb": JSON,
    "date": st.dates().map(str),
    "timestamp": st.datetimes().map(str),
    "interval": st.timedeltas().map(
        lambda value: f"{value.days} days {value.seconds} s {value.microseconds} us"
    ),
    "bit": st.text("01", min_size=1, max_size=9),
    "varbit": st.text("01", max_size=9),
}
"""What is drawn beside the samples; all as input texts."""


@dataclass(frozen=True, slots=True)
class AnyColumn:
    """A column of some built-in type or of its arrays, and the values that its rows take turns with."""

    name: str
    type: str
    many: bool
    pool: tuple[str | None, ...]

    @property
    def declared(self) -> sql.Composable:
        return sql.SQL("{}{}").format(
            sql.Identifier("pg_catalog", self.type), sql.SQL("[]" if self.many else "")
        )


@dataclass(frozen=True, slots=True)
class Outsider:
    """What somebody else does to the record that is the ``record``-th of those that were changed."""

    record: int
    does: Meddling


@dataclass(frozen=True, slots=True)
class Story:
    """One example: a table with rows, an action on some of them, and what outsiders do in between."""

    key: tuple[KeyType, ...]
    keys: tuple[tuple[Any, ...], ...]
    columns: tuple[AnyColumn, ...]
    stride: int
    marks: tuple[str, str]
    marked: int
    watched: bool
    kind: Kind
    values: Mapping[str, Any]
    selection: Literal["all", "keys", "where"]
    chosen: frozenset[int]
    batch_size: int
    outsiders: tuple[Outsider, ...]

    @property
    def key_names(self) -> list[str]:
        return [f"key {n}" for n in range(len(self.key))]


KEY_PARTS: Mapping[KeyType, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-3, 30) | st.integers(-(2**63), 2**63 - 1),
    "int": st.integers(-3, 30),
    "uuid": st.integers(0, 40).map(lambda n: UUID(int=n)) | st.uuids(),
    "text": TEXT
    | st.sampled_from(["NULL", "null", "", " ", "{a,b}", '"', "\\", "a'b", "%s", "\x01\n"]),
}


def values_of(samples: Samples, type_: str) -> st.SearchStrategy[str]:
    """Values of a type: its samples, and others where there is a way to draw them."""
    known = st.sampled_from(samples[type_])
    return known | DRAWN[type_] if type_ in DRAWN else known


def column_values(samples: Samples, type_: str, *, many: bool) -> st.SearchStrategy[str | None]:
    """Values of a column, null among them; an array as the text of one."""
    one = values_of(samples, type_)
    if not many:
        return st.none() | one
    delimiter = ";" if type_ == "box" else ","
    elements = st.lists(st.none() | one, max_size=3)
    return st.none() | elements.map(lambda values: array_text(values, delimiter))


def array_text(values: Sequence[str | None], delimiter: str) -> str:
    """Write an array as PostgreSQL reads it, with every element in quotes."""
    quoted = (
        "NULL" if one is None else '"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for one in values
    )
    return "{" + delimiter.join(quoted) + "}"


@st.composite
def stories(draw: st.DrawFn, samples: Samples) -> Story:
    """Draw one example."""
    key = draw(st.lists(st.sampled_from(list(KEY_PARTS)), min_size=1, max_size=3).map(tuple))
    keys = draw(
        st.lists(
            st.tuples(*(KEY_PARTS[part] for part in key)), min_size=1, max_size=14, unique=True
        )
    )
    names = draw(st.permutations(NAMES))
    columns = tuple(draw(any_columns(samples, name)) for name in names[: draw(st.integers(1, 6))])
    kinds: list[Kind] = ["update", "update", "update", "hard", "soft", "archive", "restore"]
    if key[-1] in ("int", "bigint"):
        kinds.append("shift")
    kind = draw(st.sampled_from(kinds))
    values: dict[str, Any] = {}
    if kind == "update":
        set_ = draw(st.lists(st.sampled_from(columns), min_size=1, unique_by=lambda one: one.name))
        values = {one.name: draw(assigned(samples, one, columns)) for one in set_}
    elif kind == "shift":
        last = col(f"key {len(key) - 1}")
        values = {f"key {len(key) - 1}": last + draw(st.sampled_from([1, -1, 2, 1_000]))}
    return Story(
        key=key,
        keys=tuple(keys),
        columns=columns,
        stride=draw(st.integers(1, 5)),
        marks=(draw(st.sampled_from(MARKS)), draw(st.sampled_from(MARKS))),
        marked=draw(st.integers(1, 4)),
        watched=draw(st.booleans()),
        kind=kind,
        values=values,
        selection=draw(st.sampled_from(["all", "keys", "where"])),
        chosen=draw(st.frozensets(st.integers(0, len(keys)))),
        batch_size=draw(st.integers(1, 9)),
        outsiders=tuple(
            draw(
                st.lists(
                    st.builds(
                        Outsider,
                        st.integers(0, len(keys) - 1),
                        st.sampled_from(["change", "delete", "insert", "beside"]),
                    ),
                    max_size=3,
                    unique_by=lambda one: one.record,
                )
            )
        ),
    )


@st.composite
def any_columns(draw: st.DrawFn, samples: Samples, name: str) -> AnyColumn:
    """Draw a column."""
    type_ = draw(st.sampled_from(sorted(samples)))
    many = draw(st.sampled_from([False, False, True]))
    pool = draw(st.lists(column_values(samples, type_, many=many), min_size=1, max_size=4))
    return AnyColumn(name, type_, many, tuple(pool))


@st.composite
def assigned(
    draw: st.DrawFn, samples: Samples, column: AnyColumn, columns: Sequence[AnyColumn]
) -> Any:
    """Draw a value or an expression for a column."""
    ways: list[Any] = []
    if not column.many and column.type in NUMBERS:
        ways = [col(column.name) + 1, col("n") * 3, col(column.name) * -1]
    elif not column.many and column.type == "text":
        ways = [col(column.name).concat(draw(TEXT)), col(column.name).upper()]
    same = [one for one in columns if (one.type, one.many) == (column.type, column.many)]
    ways += [col(one.name) for one in same if one is not column]
    value = column_values(samples, column.type, many=column.many)
    return draw(value | st.sampled_from(ways) if ways else value)


def make_table(connection: Connection[DictRow], story: Story) -> None:
    """Make the table and its rows. ``n`` is a row's number, which nobody changes; ``beside`` is no action's."""
    definitions: list[sql.Composable] = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type_))
        for name, type_ in zip(story.key_names, story.key, strict=True)
    ]
    definitions += [
        sql.SQL("n int NOT NULL, beside int"),
        sql.SQL("deleted_at {}, archived_at {}, archive_reason text").format(
            *map(sql.SQL, story.marks)
        ),
        sql.SQL("twice bigint GENERATED ALWAYS AS (n * 2) STORED"),
    ]
    definitions += [
        sql.SQL("{} {}").format(sql.Identifier(one.name), one.declared) for one in story.columns
    ]
    key = sql.SQL(", ").join(map(sql.Identifier, story.key_names))
    connection.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
            TABLE, sql.SQL(", ").join(definitions), key
        )
    )
    for n in range(len(story.keys)):
        insert(connection, story, n, n)
    marked = {"boolean": "true"}
    connection.execute(
        sql.SQL(
            "UPDATE {} SET deleted_at = {}, archived_at = {}, archive_reason = 'old' WHERE n % {} = 0"
        ).format(
            TABLE,
            *(sql.Literal(marked.get(type_, "2024-02-03")) for type_ in story.marks),
            sql.Literal(story.marked),
        )
    )
    if story.watched:
        connection.execute(
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER look BEFORE UPDATE OR INSERT ON {} FOR EACH ROW EXECUTE FUNCTION look()"
            ).format(TABLE)
        )


def insert(connection: Connection[DictRow], story: Story, row: int, n: int) -> None:
    """Insert a row with the key of ``row``, numbered ``n``."""
    columns = ["n", *story.key_names, *(one.name for one in story.columns)]
    values: list[sql.Composable] = [sql.Literal(n), *map(sql.Literal, story.keys[row])]
    values += [
        sql.SQL("{}::{}").format(
            sql.Literal(one.pool[(row * story.stride + place) % len(one.pool)]), one.declared
        )
        for place, one in enumerate(story.columns)
    ]
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            TABLE, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(values)
        )
    )
