"""What an action must know of a user's table, read from the catalog.

Read once per transaction, in one statement, under the lock that keeps the table as it is.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from psycopg import Cursor, sql

from action_ledger.domain.errors import NoPrimaryKey, UnknownColumn, UnknownTable, UnsupportedTable
from action_ledger.projections.sql_blocks import Fixed, read_blocks

SQL = read_blocks("action_ledger.workers", "catalog.sql")

FIND_TABLE, READ_TABLE = (
    Fixed(SQL[block].format(named=SQL["named"])) for block in ("find_table", "read_table")
)

LEDGER_SCHEMA = "action_ledger"
IDENTIFIER_BYTES = 63
TRIGGER_BITS = {"insert": 4, "delete": 8, "update": 16}
SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})
TABLES = frozenset({"r", "p"})
KINDS = {
    "v": "it is a view",
    "m": "it is a materialized view",
    "f": "it is a foreign table",
    "S": "it is a sequence",
    "i": "it is an index",
    "I": "it is an index",
    "c": "it is a composite type",
    "t": "it is a system table",
}


def identifier(*names: str) -> sql.Identifier:
    """Quote a name for a statement that is run with parameters, if only an empty mapping of them.

    psycopg reads % in such a statement as the start of a placeholder, in quoted names as well: so it is doubled.
    """
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


def _type_sql(type_: str) -> sql.SQL:
    # The catalog wrote and quoted it, so it is as good as our own text. For % see identifier().
    text: Any = type_.replace("%", "%%")
    return sql.SQL(text)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    ``type`` is its declared type with modifiers, as in ``character varying(3)``. ``plain_type`` is what
    values are cast to: without modifiers, and for a domain the type below it, because an explicit cast to
    the declared type would cut a longer value short without a word. Both mean the same under any search path.
    ``computed_from`` names the columns that a generated one is computed from.
    ``collation`` is one that takes values for equal which are not the same, as SQL, or else None.
    ``is_array``, ``is_json`` and ``is_composite`` speak of ``plain_type``; ``delimiter`` stands between its
    values in an array.
    """

    name: str
    type: str
    plain_type: str
    generated: bool
    computed_from: frozenset[str]
    identity_always: bool
    not_null: bool
    is_array: bool
    is_json: bool
    is_composite: bool
    is_domain: bool
    collation: str | None
    delimiter: str

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """Read it as the catalog query gives it."""
        values: dict[str, Any] = {**row, "computed_from": frozenset(row["computed_from"] or ())}
        return cls(**values)

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name."""
        return identifier(self.name)

    @property
    def recorded_type(self) -> str:
        """The type as change sets keep it. A column that the server computes is another than one that is written."""
        return f"{self.type}, generated" if self.generated else self.type

    @property
    def type_sql(self) -> sql.SQL:
        """The declared type, as a part of a statement."""
        return _type_sql(self.type)

    @property
    def plain_type_sql(self) -> sql.SQL:
        """The type to cast values to, as a part of a statement."""
        return _type_sql(self.plain_type)

    @property
    def collation_sql(self) -> sql.SQL | None:
        """The collation, as a part of a statement."""
        return None if self.collation is None else _type_sql(self.collation)


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of some table (it may be the same one) to this table.

    ``on_delete`` and ``on_update`` are pg_constraint's letters: a no action, r restrict, c cascade, n set
    null, d set default. ``columns`` are those of the referencing table, ``referenced`` those of this one.
    """

    schema: str
    table: str
    constraint: str
    on_delete: str
    on_update: str
    columns: tuple[str, ...]
    referenced: tuple[str, ...]

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Self:
        """Read it as the catalog query gives it."""
        return cls(
            schema=row["schema"],
            table=row["table"],
            constraint=row["constraint"],
            on_delete=row["on_delete"],
            on_update=row["on_update"],
            columns=tuple(row["columns"]),
            referenced=tuple(row["referenced"]),
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A table that actions can run on.

    ``key`` is its primary key, in index order. ``writes`` names the events ("insert", "update", "delete")
    that have a BEFORE ROW trigger, which may write other columns than the action does or swallow the change;
    ``followed`` those that have an AFTER trigger, which may write the rows again.
    """

    oid: int
    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[Column, ...]
    writes: frozenset[str]
    followed: frozenset[str]
    referenced_by: tuple[Reference, ...]
    row_security: bool
    partitioned: bool

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name with its schema."""
        return identifier(self.schema, self.name)

    @property
    def label(self) -> str:
        """The name with its schema, for people to read."""
        return f"{self.schema}.{self.name}"

    def may_swallow(self, kind: str) -> bool:
        """Say whether a trigger may write along when a row is changed, or leave it as it is."""
        return bool(self.writes & self._fired_by(kind))

    def may_follow(self, kind: str) -> bool:
        """Say whether a trigger may write rows again after the statement that changed them."""
        return bool(self.followed & self._fired_by(kind))

    def computed_from(self, columns: Iterable[Column]) -> tuple[Column, ...]:
        """Give the generated columns that the server computes anew when some of these are written."""
        written = {column.name for column in columns}
        return tuple(column for column in self.columns if column.computed_from & written)

    def _fired_by(self, kind: str) -> frozenset[str]:
        """An update that moves a row to another partition is a delete and an insert to the triggers as well."""
        return (
            frozenset(TRIGGER_BITS) if self.partitioned and kind == "update" else frozenset({kind})
        )

    def column(self, name: str) -> Column:
        """Give the column of exactly that name, or raise UnknownColumn with those that look like it."""
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        folded = {known.lower(): known for known in names}
        close = get_close_matches(name.lower(), folded, n=3)
        raise UnknownColumn(
            table=self.label, column=name, suggestions=tuple(folded[match] for match in close)
        )


def find_table(
    cursor: Cursor[dict[str, Any]], name: str, *, ledger_schema: str = LEDGER_SCHEMA
) -> tuple[str, str]:
    """Find where the table of a name is: its schema and its name. Raises UnknownTable or UnsupportedTable."""
    row = _row(cursor, FIND_TABLE, name)
    return _supported(row, ledger_schema)


def read_table(
    cursor: Cursor[dict[str, Any]], name: str, *, ledger_schema: str = LEDGER_SCHEMA
) -> Table:
    """Read the table ``schema.table``, or ``table`` on the search path; parts may be "quoted" as in SQL.

    Raises UnknownTable, UnsupportedTable or NoPrimaryKey.
    """
    row = _row(cursor, READ_TABLE, name)
    schema, table = _supported(row, ledger_schema)
    if not row["key"]:
        raise NoPrimaryKey(table=f"{schema}.{table}")
    columns = {column["name"]: Column.from_json(column) for column in row["columns"]}
    return Table(
        oid=row["oid"],
        schema=schema,
        name=table,
        columns=tuple(columns.values()),
        key=tuple(columns[part] for part in row["key"]),
        writes=_events(row["triggers"]),
        followed=_events(row["after_triggers"]),
        referenced_by=tuple(Reference.from_json(item) for item in row["referenced_by"] or ()),
        row_security=row["row_security"],
        partitioned=row["kind"] == "p",
    )


def _row(cursor: Cursor[dict[str, Any]], block: Fixed, name: str) -> dict[str, Any]:
    schema, table = _parts(name)
    row = cursor.execute(
        block,
        {
            "schema": schema and schema[0],
            "folded_schema": schema and schema[1],
            "table": table[0],
            "folded_table": table[1],
        },
    ).fetchone()
    if row is None:
        elsewhere = cursor.execute(SQL["elsewhere"], {"table": table[0], "folded_table": table[1]})
        raise UnknownTable(table=name, suggestions=tuple(one["name"] for one in elsewhere))
    return row


def _supported(row: dict[str, Any], ledger_schema: str) -> tuple[str, str]:
    schema, table = str(row["schema"]), str(row["name"])
    if reason := _unsupported(row, ledger_schema):
        raise UnsupportedTable(table=f"{schema}.{table}", reason=reason)
    return schema, table


def _events(bits: int) -> frozenset[str]:
    return frozenset(event for event, bit in TRIGGER_BITS.items() if bits & bit)


def _unsupported(row: dict[str, Any], ledger_schema: str) -> str | None:
    kind = row["kind"]
    reasons = (
        (row["schema"] in SYSTEM_SCHEMAS, "it belongs to the system"),
        (row["schema"] == ledger_schema, "it belongs to the ledger"),
        (kind not in TABLES, KINDS.get(kind, "it is not a table")),
        (row["temporary"], "it is temporary, and other sessions cannot see it"),
        (
            row.get("rules"),
            "it has rewrite rules, which may do something else than the action says",
        ),
        (
            kind == "r" and row.get("inherited"),
            "other tables inherit from it, and its primary key does not count for their rows",
        ),
    )
    return next((reason for applies, reason in reasons if applies), None)


PART = re.compile(r'"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>[^".]+)')


def _parts(name: str) -> tuple[tuple[str, str] | None, tuple[str, str]]:
    """Split a name into schema and table, each as written and as SQL folds it."""
    parts: list[tuple[str, str]] = []
    rest = name.strip()
    while match := PART.match(rest):
        bare, quoted = match["bare"], match["quoted"]
        parts.append(
            (bare.strip(), bare.strip().lower())
            if bare
            else ((text := quoted.replace('""', '"')), text)
        )
        rest = rest[match.end() :]
        if not rest.startswith("."):
            break
        rest = rest[1:] or "."
    if rest or not 1 <= len(parts) <= 2 or any(_impossible(part[0]) for part in parts):  # noqa: PLR2004
        raise UnknownTable(table=name)
    return _pair(parts)


def _pair(parts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str] | None, tuple[str, str]]:
    return (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _impossible(part: str) -> bool:
    # A cast to the type name would cut a longer one short, and so find another table.
    try:
        return not part or "\0" in part or len(part.encode()) > IDENTIFIER_BYTES
    except UnicodeEncodeError:
        return True
