"""The sources of an undo: which change sets it takes back, and how each is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from action_ledger.domain.errors import SchemaDrift, UnknownColumn
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .images import (
    aliases,
    array_of,
    columns_of,
    decoded,
    gathered,
    listed,
    numbered,
    same_key,
    unnested,
    value,
)
from .referring import foreign_keys
from .statements import SQL as WRITER
from .table import Column, Table

SQL = read_blocks("action_ledger.workers", "undo.sql")

INVERSE: Mapping[str, Literal["update", "delete", "insert"]] = {
    "update": "update",
    "delete": "insert",
    "insert": "delete",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One part of a change set, without its body."""

    owner: UUID
    part: int
    batch_id: UUID
    batch_version: int
    direction: str
    kind: str
    records: int
    columns: list[str]
    types: list[str]
    acted: list[str]
    number: int
    version: int
    status: str
    superseded: bool
    child_table: str | None
    """The table of children that had gone along with the records; None for the records themselves."""
    via: str | None
    """The foreign key that had set columns of theirs."""
    further_parts: tuple[int, ...] = ()
    """Parts of the same change set and the same form that are read with it."""

    def with_part(self, other: "Source") -> "Source":
        """Read another one with it."""
        return replace(
            self,
            records=self.records + other.records,
            further_parts=(*self.further_parts, other.part),
        )


def find_sources(
    transaction: Transaction,
    *,
    execution_id: UUID | None = None,
    batch_id: UUID | None = None,
    of_undo: UUID | None,
    numbers: Sequence[int] | None = None,
) -> list[Source]:
    """Give the sources for an execution or for one batch of it, newest batch first."""
    cursor = transaction.execute(
        SQL["sources"],
        {
            "execution_id": execution_id,
            "batch_id": batch_id,
            "of_undo": of_undo,
            "numbers": None if numbers is None else list(numbers),
        },
    )
    rows: list[Any] = cursor.fetchall()
    return [Source(**row) for row in rows]


def write_as_planned(
    transaction: Transaction, table: Table, *, execution_id: UUID, chosen: UUID
) -> None:
    """Write the chosen keys as the execution did, so that they can be found among its own by their text."""
    key = table.key
    names = numbered("k", len(key))
    statement = transaction.compose(
        SQL["as_planned"],
        gathered=array_of([gathered(c, n) for c, n in zip(key, names, strict=True)]),
        keys=listed(
            sql.SQL("{} AS {}").format(own, name)
            for own, name in zip(decoded("u", "k", key), names, strict=True)
        ),
        arrays=listed(unnested("s.keys", key)),
        names=listed(names),
        is_chosen=_chosen(transaction, key),
    )
    transaction.cursor.execute(statement, {"execution_id": execution_id, "chosen": chosen})


class Reading:
    """How a source's records are read: ``q`` with k1.. (key), b1.. (before), a1.. (after)."""

    def __init__(
        self,
        transaction: Transaction,
        table: Table,
        source: Source,
        *,
        chosen: UUID | None,
        root: Table | None = None,
        parents_back: bool = True,
        referred_there: bool = False,
    ) -> None:
        """``chosen`` owns the key set of the records that were asked for; None means all.

        Of children, ``root`` is the table of the records that they had gone along with; with ``parents_back`` only
        those are read whose record is back. With ``referred_there`` only those whose foreign keys, as they were, have
        a row to refer to.
        """
        self.source = source
        self.table = table
        self._root = root
        self._parents_back = parents_back
        self._referred_there = referred_there
        self.captured = recorded_columns(table, source)
        self.acted = tuple(column for column in self.captured if column.name in source.acted)
        self.moved = source.kind == "update" and any(
            column in self.captured for column in table.key
        )
        self._transaction = transaction
        self._chosen = chosen

    @property
    def inverse(self) -> Literal["update", "delete", "insert"]:
        """What takes it back."""
        return INVERSE[self.source.kind]

    @property
    def parameters(self) -> dict[str, object]:
        """The values of its placeholders, but for lo and hi."""
        return {
            "source": self.source.owner,
            "source_parts": [self.source.part, *self.source.further_parts],
            "source_batch": self.source.batch_id,
            "source_version": self.source.batch_version,
            "source_child": self.source.child_table,
            "source_via": self.source.via,
            "chosen": self._chosen,
        }

    def after_name(self, column: Column) -> str:
        """Name the column of q that holds what was written to a column."""
        return f"a{self.captured.index(column) + 1}"

    def before_name(self, column: Column) -> str:
        """Name the column of q that holds what a column was."""
        return f"b{self.captured.index(column) + 1}"

    def located(self) -> sql.Composable:
        """Say which row t is a record's: by its key, and by its new key where the change moved it."""
        found = [
            sql.Identifier("q", self.after_name(column))
            if self.moved and column in self.captured
            else key
            for column, key in zip(
                self.table.key, aliases("q", "k", len(self.table.key)), strict=True
            )
        ]
        return same_key(columns_of("t", self.table.key), found)

    def planned(self) -> sql.Composable:
        """Read the records number lo to hi, but for those whose newest image lies elsewhere."""
        key = self.table.key
        names = numbered("k", len(key))
        fields = list(zip(names, key, strict=True))
        arrays = unnested("s.keys", key)
        for field, prefix in (("before", "b"), ("after", "a")):
            if (field == "before" and self.source.kind == "insert") or (
                field == "after" and self.source.kind == "delete"
            ):
                continue
            fields += zip(numbered(prefix, len(self.captured)), self.captured, strict=True)
            arrays += unnested(f"s.{field}", self.captured)
        if self._root is not None:
            fields += zip(numbered("r", len(self._root.key)), self._root.key, strict=True)
            arrays += unnested("s.roots", self._root.key)
        return self._transaction.compose(
            WRITER["images_of_part"],
            values=listed(
                sql.SQL("{} AS {}").format(value(column, _of("u", name)), name)
                for name, column in fields
            ),
            arrays=listed(arrays),
            names=listed(name for name, _ in fields),
            restrictions=sql.SQL(" ").join(self._restrictions()),
        )

    def _restrictions(self) -> list[sql.Composable]:
        key = self.table.key
        names = listed(numbered("k", len(key)))
        own = listed(decoded("u", "k", key))
        others = listed(decoded("w", "k", key))
        found: list[sql.Composable] = []
        if self.source.superseded:
            found.append(
                self._transaction.compose(
                    WRITER["not_superseded"],
                    arrays=listed(unnested("l.keys", key)),
                    key_names=names,
                    others=others,
                    key=own,
                )
            )
        if self._root is not None and self._parents_back:
            found.append(self._parent_is_back(self._root.key))
        if self._chosen is not None:
            found.append(
                _chosen(self._transaction, key)
                if self._root is None
                else _chosen(self._transaction, self._root.key, prefix="r")
            )
        if self._referred_there:
            found += self._referred_is_there()
        return found

    def _referred_is_there(self) -> list[sql.Composed]:
        found: list[sql.Composed] = []
        for key in foreign_keys(self._transaction, self.table, self.captured):
            own = [
                value(column, sql.Identifier("u", self.before_name(column))) for column in key.own
            ]
            found.append(
                self._transaction.compose(
                    SQL["referred_is_there"],
                    own=listed(own),
                    table=key.table,
                    same=same_key(key.theirs("p"), own),
                )
            )
        return found

    def _parent_is_back(self, key: Sequence[Column]) -> sql.Composed:
        return self._transaction.compose(
            WRITER["parent_is_back"],
            roots=listed(decoded("u", "r", key)),
            others=listed(decoded("w", "k", key)),
            arrays=listed(unnested("l.keys", key)),
            key_names=listed(numbered("k", len(key))),
        )


def recorded_columns(table: Table, source: Source) -> tuple[Column, ...]:
    """Find the recorded columns in the table as it is now. Raises SchemaDrift when one is gone or another."""
    found: list[Column] = []
    for name, type_ in zip(source.columns, source.types, strict=True):
        try:
            column = table.column(name)
        except UnknownColumn as error:
            raise SchemaDrift(table=table.label, detail=f"column {name} is gone") from error
        if column.recorded_type != type_:
            raise SchemaDrift(
                table=table.label, detail=f"column {name} was {type_} and is {column.recorded_type}"
            )
        if column.identity_always and source.kind == "update" and name in source.acted:
            raise SchemaDrift(
                table=table.label,
                detail=f"column {name} was written, and is generated always as identity",
            )
        found.append(column)
    return tuple(found)


def _chosen(transaction: Transaction, key: Sequence[Column], *, prefix: str = "k") -> sql.Composed:
    return transaction.compose(
        WRITER["chosen"],
        arrays=listed(unnested("c.keys", key)),
        key_names=listed(numbered("k", len(key))),
        others=listed(decoded("w", "k", key)),
        key=listed(decoded("u", prefix, key)),
    )


def _of(relation: str, name: sql.Identifier) -> sql.Composable:
    return sql.SQL("{}.{}").format(sql.Identifier(relation), name)
