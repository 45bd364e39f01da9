"""What a table is to an action: its columns, its key, its triggers, and what refers to it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from psycopg import sql

from action_ledger.domain.errors import UnknownColumn

TRIGGER_BITS = {"insert": 4, "delete": 8, "update": 16}
"""Of pg_trigger.tgtype: what a trigger fires on."""

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


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
    null, d set default. ``columns`` are those of the referencing table, ``referenced`` those of this one;
    ``set_on_delete`` those that SET NULL and SET DEFAULT write.
    """

    schema: str
    table: str
    constraint: str
    on_delete: str
    on_update: str
    columns: tuple[str, ...]
    referenced: tuple[str, ...]
    set_on_delete: tuple[str, ...]

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
            set_on_delete=tuple(row["set"] or row["columns"]),
        )

    @property
    def child(self) -> str:
        """The referencing table, by a name that means no other."""
        return sql.Identifier(self.schema, self.table).as_string()


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


def reference_of(table: Table) -> str:
    """Name a table as events do: with its schema, quoted where SQL needs it."""
    return reference(table.schema, table.name)


def reference(schema: str, name: str) -> str:
    """Name a table by its parts as :func:`reference_of` does."""
    return ".".join(
        part if _PLAIN_NAME.fullmatch(part) else '"' + part.replace('"', '""') + '"'
        for part in (schema, name)
    )
