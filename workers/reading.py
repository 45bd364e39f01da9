"""How the records of a source are read: which of them still stand for it, in which columns, and where their rows are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal
from uuid import UUID

from psycopg import sql

from action_ledger.projections.store import Transaction

from .images import (
    aliases,
    columns_of,
    decoded,
    listed,
    numbered,
    same_key,
    unnested,
    value,
)
from .referring import foreign_keys
from .sources import SQL, Source, among_chosen, recorded_columns
from .statements import SQL as WRITER
from .table import Column, Table

INVERSE: Mapping[str, Literal["update", "delete", "insert"]] = {
    "update": "update",
    "delete": "insert",
    "insert": "delete",
}


@dataclass(frozen=True, slots=True)
class Share:
    """Records of a source that are taken back in the same columns."""

    places: str
    """Where in the source they are, as an int8multirange."""
    records: int
    acted: tuple[str, ...]
    kept: tuple[str, ...] = ()
    """Columns that somebody changed since, and that a merge leaves as they are."""


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
        columns: Collection[str] | None = None,
        share: Share | None = None,
    ) -> None:
        """``columns`` are those that alone are to be taken back; None means all that the change acted on.

        ``share`` are the records that are read, and what is taken back of them. ``chosen`` owns the key set of the records that were asked for; None means all.

        Of children, ``root`` is the table of the records that they had gone along with; with ``parents_back`` only
        those are read whose record is back. With ``referred_there`` only those whose foreign keys, as they were, have
        a row to refer to.
        """
        self.source = source
        self.table = table
        self._root = root
        self._parents_back = parents_back
        self._referred_there = referred_there
        self._places = recorded_columns(table, source, columns)
        self.recorded = tuple(self._places)
        """The columns that the source holds images of, without those that are gone and not to be taken back."""
        self.acted = tuple(
            column
            for column in self.recorded
            if column.name in (source.acted if share is None else share.acted)
            and (columns is None or column.name in columns)
        )
        """Those that are taken back."""
        self.moved = source.kind == "update" and any(
            column in self.recorded for column in table.key
        )
        self._columns = columns
        self.share = share
        self._transaction = transaction
        self._chosen = chosen

    def as_it_was(self) -> "Reading":
        """Read the same records whatever was written since."""
        return Reading(
            self._transaction,
            self.table,
            replace(self.source, superseded=False),
            chosen=self._chosen,
            root=self._root,
            parents_back=False,
            columns=self._columns,
            share=self.share,
        )

    @property
    def inverse(self) -> Literal["update", "delete", "insert"]:
        """What takes it back."""
        return INVERSE[self.source.kind]

    @cached_property
    def captured(self) -> tuple[Column, ...]:
        """The columns that are kept of it: without those of the change that are not taken back, if nothing writes them."""
        table = self.table
        if (
            self.source.kind != "update"
            or table.may_swallow("update")
            or table.may_follow("update")
        ):
            return self.recorded
        left = set(self.source.acted) - {column.name for column in self.acted}
        return tuple(column for column in self.recorded if column.name not in left)

    @cached_property
    def aimed(self) -> tuple[Column, ...]:
        """The columns that are to be as they were before: those of the change, and what triggers wrote with it."""
        if self._columns is not None:
            return self.acted
        acted = {column.name for column in self.acted}
        left = set(self.source.acted) - acted
        return tuple(column for column in self.captured if column.name not in left)

    @cached_property
    def kept(self) -> tuple[Column, ...]:
        """The columns of its share that a merge leaves as somebody changed them."""
        names = () if self.share is None else self.share.kept
        return tuple(column for column in self.recorded if column.name in names)

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
            "places": None if self.share is None else self.share.places,
        }

    def after_name(self, column: Column) -> str:
        """Name the column of q that holds what was written to a column."""
        return f"a{self._places[column]}"

    def before_name(self, column: Column) -> str:
        """Name the column of q that holds what a column was."""
        return f"b{self._places[column]}"

    def located(self) -> sql.Composable:
        """Say which row t is a record's: by its key, and by its new key where the change moved it."""
        found = [
            sql.Identifier("q", self.after_name(column))
            if self.moved and column in self.recorded
            else key
            for column, key in zip(
                self.table.key, aliases("q", "k", len(self.table.key)), strict=True
            )
        ]
        return same_key(columns_of("t", self.table.key), found)

    def planned(self, *, placed: bool = False) -> sql.Composable:
        """Read the records number lo to hi, but for those whose newest image lies elsewhere; ``placed`` names places."""
        key = self.table.key
        names = numbered("k", len(key))
        fields = list(zip(names, key, strict=True))
        arrays = unnested("s.keys", key)
        for field, name in (("before", self.before_name), ("after", self.after_name)):
            if (field == "before" and self.source.kind == "insert") or (
                field == "after" and self.source.kind == "delete"
            ):
                continue
            fields += ((sql.Identifier(name(column)), column) for column in self.recorded)
            arrays += unnested(f"s.{field}", self.recorded, self._places.values())
        if self._root is not None:
            fields += zip(numbered("r", len(self._root.key)), self._root.key, strict=True)
            arrays += unnested("s.roots", self._root.key)
        return self._transaction.compose(
            WRITER["images_of_part"],
            values=listed(
                [
                    *(
                        sql.SQL("{} AS {}").format(value(column, _of("u", name)), name)
                        for name, column in fields
                    ),
                    *([sql.SQL("u.n AS place")] if placed else []),
                ]
            ),
            arrays=listed(arrays),
            names=listed(name for name, _ in fields),
            restrictions=sql.SQL(" ").join(self._restrictions(placed=placed)),
        )

    def _restrictions(self, *, placed: bool) -> list[sql.Composable]:
        key = self.table.key
        names = listed(numbered("k", len(key)))
        own = listed(decoded("u", "k", key))
        others = listed(decoded("w", "k", key))
        found: list[sql.Composable] = []
        if self.share is not None:
            found.append(WRITER["in_places"].format())
        elif self.source.superseded and not placed:
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
                among_chosen(self._transaction, key)
                if self._root is None
                else among_chosen(self._transaction, self._root.key, prefix="r")
            )
        if self._referred_there:
            found += self._referred_is_there()
        return found

    def _referred_is_there(self) -> list[sql.Composed]:
        found: list[sql.Composed] = []
        for key in foreign_keys(self._transaction, self.table, self.recorded):
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


def _of(relation: str, name: sql.Identifier) -> sql.Composable:
    return sql.SQL("{}.{}").format(sql.Identifier(relation), name)
