"""Rows of a view, as events build them: collected over a block of events, written with a statement a table.

What several events of one block do to one row is folded into one change of it before anything is written, so
that an inline projection costs a few statements a transaction and a rebuild a few a thousand events.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow
from pydantic_core import to_json

from .sql_blocks import trusted

Key = UUID | int
Relation = Callable[[str], sql.Identifier]
"""From a table's name in the projection to the relation that stands for it now."""


@dataclass(slots=True)
class _Change:
    fresh: bool = False
    """The row is new in this block: ``values`` is all of it."""
    dropped: bool = False
    """The row goes; with ``fresh``, another comes in its place."""
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    deltas: dict[str, int] = field(default_factory=dict[str, int])


class Rows:
    """Changes of rows, in the order in which they are told; each row has one key column."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """``keys`` gives the key column of each table."""
        self._keys = keys
        self._changes: defaultdict[str, dict[Key, _Change]] = defaultdict(dict)

    def put(self, table: str, key: Key, values: dict[str, Any]) -> None:
        """Make a new row."""
        before = self._changes[table].get(key)
        self._changes[table][key] = _Change(
            fresh=True,
            dropped=before is not None and before.dropped,
            values={self._keys[table]: key, **values},
        )

    def patch(self, table: str, key: Key, **values: Any) -> None:  # noqa: ANN401 - a column's value
        """Set columns of a row."""
        change = self._changes[table].setdefault(key, _Change())
        change.values.update(values)
        for column in values:
            change.deltas.pop(column, None)

    def add(self, table: str, key: Key, **deltas: int) -> None:
        """Add to columns of a row."""
        change = self._changes[table].setdefault(key, _Change())
        for column, delta in deltas.items():
            if column in change.values:
                change.values[column] += delta
            else:
                change.deltas[column] = change.deltas.get(column, 0) + delta

    def drop(self, table: str, key: Key) -> None:
        """Take a row away."""
        change = self._changes[table].get(key)
        if change is not None and change.fresh and not change.dropped:
            del self._changes[table][key]
        else:
            self._changes[table][key] = _Change(dropped=True)

    def adds(self, table: str) -> bool:
        """Say whether a new row of a table is among them."""
        changes = self._changes.get(table, {})
        return any(change.fresh for change in changes.values())

    def absorb(self, later: "Rows") -> None:
        """Take over what was collected apart, after what is here."""
        for table, changes in later._changes.items():  # noqa: SLF001 - of its own kind
            for key, change in changes.items():
                if change.dropped:
                    self.drop(table, key)
                if change.fresh:
                    values = change.values.copy()
                    del values[self._keys[table]]
                    self.put(table, key, values)
                elif not change.dropped:
                    self.patch(table, key, **change.values)
                    self.add(table, key, **change.deltas)

    def write(self, cursor: Cursor[DictRow], relation: Relation) -> None:
        """Write everything that was collected and forget it."""
        for table, changes in self._changes.items():
            self._write_table(cursor, relation(table).as_string(), self._keys[table], changes)
        self._changes.clear()

    @staticmethod
    def _write_table(
        cursor: Cursor[DictRow], relation: str, key: str, changes: Mapping[Key, _Change]
    ) -> None:
        inserts: defaultdict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        updates: defaultdict[tuple[tuple[str, ...], tuple[str, ...]], list[dict[str, Any]]] = (
            defaultdict(list)
        )
        drops: list[Key] = []
        for id_, change in changes.items():
            if change.dropped:
                drops.append(id_)
            if change.fresh:
                inserts[tuple(change.values)].append(change.values)
            elif not change.dropped:
                row = {key: id_, **change.values, **change.deltas}
                updates[tuple(change.values), tuple(change.deltas)].append(row)
        if drops:
            cursor.execute(_delete(relation, key), {"keys": drops})
        for columns, rows in inserts.items():
            cursor.execute(_insert(relation, columns), {"rows": _json(rows)})
        for (columns, deltas), rows in updates.items():
            cursor.execute(_update(relation, key, columns, deltas), {"rows": _json(rows)})


def _json(rows: Iterable[dict[str, Any]]) -> str:
    return to_json(rows).decode()


def _fixed(composed: sql.Composed) -> sql.SQL:
    """Put a statement together once, not at each execution."""
    return trusted(composed.as_string())


def _named(relation: str) -> sql.SQL:
    return trusted(relation)


@lru_cache(maxsize=256)
def _insert(relation: str, columns: tuple[str, ...]) -> sql.SQL:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return _fixed(
        sql.SQL(
            "INSERT INTO {relation} ({names}) SELECT {names}"
            " FROM jsonb_populate_recordset(NULL::{relation}, %(rows)s::jsonb)"
        ).format(relation=_named(relation), names=names)
    )


@lru_cache(maxsize=256)
def _update(relation: str, key: str, columns: tuple[str, ...], deltas: tuple[str, ...]) -> sql.SQL:
    sets = [sql.SQL("{0} = d.{0}").format(sql.Identifier(column)) for column in columns]
    sets += [sql.SQL("{0} = v.{0} + d.{0}").format(sql.Identifier(column)) for column in deltas]
    return _fixed(
        sql.SQL(
            "UPDATE {relation} v SET {sets} FROM jsonb_populate_recordset(NULL::{relation}, %(rows)s::jsonb) d"
            " WHERE v.{key} = d.{key}"
        ).format(relation=_named(relation), sets=sql.SQL(", ").join(sets), key=sql.Identifier(key))
    )


@lru_cache(maxsize=64)
def _delete(relation: str, key: str) -> sql.SQL:
    return _fixed(
        sql.SQL("DELETE FROM {} WHERE {} = ANY(%(keys)s)").format(
            _named(relation), sql.Identifier(key)
        )
    )
