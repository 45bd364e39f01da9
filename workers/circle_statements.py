"""The statements that bring back rows of a circle, put together for groups of rows that are left."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import sql

from action_ledger.projections.sql_blocks import Fixed, read_blocks, trusted
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
)
from .reading import Reading
from .referring import foreign_keys
from .sources import Source
from .statements import SQL as WRITER
from .table import Column, Table
from .write import Owner

SQL = read_blocks("action_ledger.workers", "circles.sql")
PLACEHOLDER = re.compile(r"(?<!%)((?:%%)*)%\((\w+)\)s")
UNION = sql.SQL(" UNION ALL ")


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one table that are to be inserted again, out of the same change set."""

    reading: Reading
    owner: Owner
    records: int
    """How many records of each part are looked at."""

    @property
    def is_of_records(self) -> bool:
        """Whether they are the records themselves."""
        return self.reading.source.child_table is None

    @property
    def values(self) -> dict[str, Any]:
        """The values of its part of a statement."""
        reading = self.reading
        return {
            **reading.parameters,
            **self.owner.values,
            "batch_version": self.owner.batch_version,
            "direction": self.owner.direction,
            "columns": [column.name for column in reading.captured],
            "types": [column.recorded_type for column in reading.captured],
            "acted": [column.name for column in reading.acted],
            "lo": 1,
            "hi": self.records,
        }


class CircleStatements:
    """Puts together what some groups take, which are numbered from 1 in the order in which they are given."""

    def __init__(self, transaction: Transaction, root: Table, groups: Sequence[Group]) -> None:
        """``root`` is the table of the records."""
        self._transaction = transaction
        self._root = root
        self._groups = dict(enumerate(groups, 1))

    @property
    def values(self) -> dict[str, Any]:
        """The values of ``choose``, but for the parts and the lowest and highest record of each group."""
        return {
            f"{name}_{n}": value
            for n, group in self._groups.items()
            for name, value in group.values.items()
        }

    def choose(self) -> Fixed:
        """Find the rows that want for nothing but each other, and keep them."""
        roots = numbered("r", len(self._root.key))
        results = (
            sql.SQL("(SELECT {} FROM {}) AS {}").format(
                sql.Identifier(name), _name("kept", n), _name(name, n)
            )
            for n in self._groups
            for name in ("records", "digest")
        )
        composed = self._compose(
            "choose",
            lefts=listed(self._each(self._left)),
            needs=UNION.join(self._needs()),
            members=UNION.join(
                self._member(n, _roots_of(group, len(roots))) for n, group in self._groups.items()
            ),
            roots=listed(roots),
            refused=sql.SQL(" UNION ").join(self._each(self._refused)),
            keys=array_of([gathered(c, r) for c, r in zip(self._root.key, roots, strict=True)]),
            kept=listed(self._each(self._keep)),
            results=listed(results),
        )
        return Fixed(composed)

    def insert(self, parts: Mapping[int, int]) -> Fixed:
        """Insert the rows that were kept: by the number of each group, in which part of the owner."""
        every = (
            self._compose(
                "insert",
                inserted=_name("inserted", n),
                table=reading.table.identifier,
                columns=listed(column.identifier for column in reading.captured),
                values=listed(decoded("u", "a", reading.captured)),
                arrays=listed(unnested("s.after", reading.captured)),
                names=listed(numbered("a", len(reading.captured))),
                part=sql.Literal(part),
            )
            for (n, part), reading in (
                (each, self._groups[each[0]].reading) for each in parts.items()
            )
        )
        return Fixed(SQL["insert_all"].format(inserted=listed(every)))

    def _left(self, n: int, group: Group) -> sql.Composable:
        key, root = group.reading.table.key, self._root.key
        back: sql.Composable = sql.SQL("")
        if not group.is_of_records:
            back = self._transaction.compose(
                WRITER["parent_is_back"],
                roots=listed(aliases("q", "r", len(root))),
                others=listed(decoded("w", "k", root)),
                arrays=listed(unnested("l.keys", root)),
                key_names=listed(numbered("k", len(root))),
            )
        return self._compose(
            "left",
            left=_name("left", n),
            root_is_back=back,
            from_lowest=self._bound(group, "lowest", ">="),
            to_highest=self._bound(group, "highest", "<="),
            planned=group.reading.planned(),
            table=group.reading.table.identifier,
            same_key=same_key(columns_of("t", key), aliases("q", "k", len(key))),
        )

    def _bound(self, group: Group, bound: LiteralString, side: LiteralString) -> sql.Composable:
        key = self._root.key
        return self._compose(
            "bound",
            bound=sql.SQL(bound),
            side=sql.SQL(side),
            roots=listed(_roots_of(group, len(key))),
            **_listed_keys(key),
        )

    def _refused(self, n: int, group: Group) -> sql.Composable:
        key = group.reading.table.key
        return self._compose(
            "refused",
            group=sql.Literal(n),
            left=_name("left", n),
            own=listed(aliases("q", "k", len(key))),
            **_listed_keys(key),
        )

    def _keep(self, n: int, group: Group) -> sql.Composable:
        table, captured = group.reading.table, group.reading.captured
        before = [sql.Identifier("q", group.reading.before_name(column)) for column in captured]
        keys = aliases("q", "k", len(table.key))
        return self._compose(
            "keep",
            kept=_name("kept", n),
            keys=array_of([gathered(c, k) for c, k in zip(table.key, keys, strict=True)]),
            after=array_of([gathered(c, b) for c, b in zip(captured, before, strict=True)]),
            left=_name("left", n),
            group=sql.Literal(n),
        )

    def _needs(self) -> Iterator[sql.Composable]:
        for n, group in self._groups.items():
            reading = group.reading
            for key in foreign_keys(self._transaction, reading.table, reading.captured):
                own = _columns_of(reading, [column.name for column in key.own])
                found = {
                    m: _columns_of(other.reading, key.referenced)
                    for m, other in self._groups.items()
                    if (other.reading.table.schema, other.reading.table.name) == key.parent
                }
                yield self._compose(
                    "refers",
                    group=sql.Literal(n),
                    left=_name("left", n),
                    own=listed(own),
                    table=key.table,
                    there=same_key(key.theirs("p"), own),
                    **self._looked_up(found, own),
                )
            if not group.is_of_records:
                keys: Sequence[sql.Composable] = aliases("q", "k", len(self._root.key))
                found = {m: list(keys) for m, other in self._groups.items() if other.is_of_records}
                yield self._compose(
                    "goes_with",
                    group=sql.Literal(n),
                    left=_name("left", n),
                    **self._looked_up(found, aliases("q", "r", len(keys))),
                )

    def _looked_up(
        self, by: Mapping[int, Sequence[sql.Composable]], wanted: Sequence[sql.Composable]
    ) -> dict[str, sql.Composable]:
        """Join the rows of some groups as ``o``, by columns of each that are what is wanted of q."""
        if not by:
            return {
                "others": sql.SQL("(SELECT 0, 0::bigint) o (source, n)"),
                "same": sql.SQL("false"),
            }
        others = sql.SQL("({}) o (source, n, {})").format(
            UNION.join(self._member(n, columns) for n, columns in by.items()),
            listed(numbered("c", len(wanted))),
        )
        return {"others": others, "same": same_key(aliases("o", "c", len(wanted)), wanted)}

    def _member(self, n: int, columns: Sequence[sql.Composable]) -> sql.Composable:
        return self._compose(
            "members", group=sql.Literal(n), columns=listed(columns), left=_name("left", n)
        )

    def _each(self, part: Callable[[int, Group], sql.Composable]) -> Iterator[sql.Composable]:
        """Put a part together for each group, with the names of its values as ``values`` gives them."""
        for n, group in self._groups.items():
            text = part(n, group).as_string()
            yield trusted(PLACEHOLDER.sub(rf"\1%(\2_{n})s", text))

    def _compose(self, block: str, **parts: sql.Composable) -> sql.Composed:
        return self._transaction.compose(SQL[block], **parts)


def _name(name: str, n: int) -> sql.Identifier:
    return sql.Identifier(f"{name}_{n}")


def _roots_of(group: Group, count: int) -> list[sql.Identifier]:
    """Refer to the key of the record that a row of a group is, or went with."""
    return aliases("q", "k" if group.is_of_records else "r", count)


def _listed_keys(key: Sequence[Column]) -> dict[str, sql.Composable]:
    """Read keys as they are listed, out of ``o``."""
    return {
        "others": listed(decoded("w", "k", key)),
        "arrays": listed(unnested("o.keys", key)),
        "key_names": listed(numbered("k", len(key))),
    }


def _columns_of(reading: Reading, names: Sequence[str]) -> list[sql.Composable]:
    """Refer to what columns of a row were."""
    captured = {column.name: column for column in reading.captured}
    return [
        sql.Identifier("q", reading.before_name(captured[name])) if name in captured else sql.NULL
        for name in names
    ]


def grouped(sources: Sequence[Source]) -> list[Source]:
    """Put together what was deleted of one table and is in one change set, whatever its parts; leave out the rest."""
    found: dict[tuple[object, ...], Source] = {}
    for source in sources:
        if source.kind != "delete":
            continue
        form = source.owner, source.child_table, tuple(source.columns), tuple(source.types)
        first = found.get(form)
        found[form] = source if first is None else first.with_part(source)
    return list(found.values())
