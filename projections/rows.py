"""Rows of a view, as events build them: collected over a block of events, written with one statement.

What several events of one block do to one row is folded into one change of it before anything is written, so
that inline projections cost a statement a transaction and a rebuild one a few thousand events.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow
from pydantic_core import to_json

from .sql_blocks import Fixed, trusted

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

    def write(
        self,
        cursor: Cursor[DictRow],
        relation: Relation,
        *,
        then: sql.SQL | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Write everything that was collected, with one statement, and forget it.

        Where a row goes and another comes in its place, what goes is written first. ``then`` is a query that is
        asked along with it, where there are ``values`` for it.
        """
        parts: list[Fixed] = []
        last = Fixed(then) if then is not None and values is not None else None
        values = dict(values or {})
        for table, changes in self._changes.items():
            name, key = relation(table).as_string(), self._keys[table]
            drops = [id_ for id_, change in changes.items() if change.dropped]
            if any(changes[id_].fresh for id_ in drops):
                cursor.execute(_delete(name, key, "keys"), {"keys": drops})
            elif drops:
                values[f"v{len(parts)}"] = drops
                parts.append(_delete(name, key, f"v{len(parts)}"))
            for (columns, deltas), rows in _alike(key, changes).items():
                place = f"v{len(parts)}"
                values[place] = to_json(rows).decode()
                parts.append(
                    _insert(name, columns, place)
                    if deltas is None
                    else _update(name, key, columns, deltas, place)
                )
        self._changes.clear()
        if parts or last is not None:
            cursor.execute(_at_once(tuple(parts), last), values)


_Columns = tuple[str, ...]


def _alike(
    key: str, changes: Mapping[Key, _Change]
) -> dict[tuple[_Columns, _Columns | None], list[dict[str, Any]]]:
    """Put together the rows whose changes are of the same columns; new ones have no deltas, not even none."""
    found: defaultdict[tuple[_Columns, _Columns | None], list[dict[str, Any]]] = defaultdict(list)
    for id_, change in changes.items():
        if change.fresh:
            found[tuple(change.values), None].append(change.values)
        elif not change.dropped:
            row = {key: id_, **change.values, **change.deltas}
            found[tuple(change.values), tuple(change.deltas)].append(row)
    return found


def _named(relation: str) -> sql.SQL:
    return trusted(relation)


@lru_cache(maxsize=256)
def _at_once(parts: tuple[Fixed, ...], last: Fixed | None) -> Fixed:
    """Make one statement of several that touch different rows: a round trip less for each."""
    if not parts and last is not None:
        return last
    if len(parts) == 1 and last is None:
        return parts[0]
    named = (
        sql.SQL("{} AS ({})").format(sql.Identifier(f"w{n}"), part) for n, part in enumerate(parts)
    )
    return Fixed(sql.SQL("WITH {} {}").format(sql.SQL(", ").join(named), last or sql.SQL("SELECT")))


@lru_cache(maxsize=256)
def _insert(relation: str, columns: _Columns, place: str) -> Fixed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return Fixed(
        sql.SQL(
            "INSERT INTO {relation} ({names}) SELECT {names}"
            " FROM json_populate_recordset(NULL::{relation}, {rows}::json)"
        ).format(relation=_named(relation), names=names, rows=sql.Placeholder(place))
    )


@lru_cache(maxsize=256)
def _update(relation: str, key: str, columns: _Columns, deltas: _Columns, place: str) -> Fixed:
    sets = [sql.SQL("{0} = d.{0}").format(sql.Identifier(column)) for column in columns]
    sets += [sql.SQL("{0} = v.{0} + d.{0}").format(sql.Identifier(column)) for column in deltas]
    return Fixed(
        sql.SQL(
            "UPDATE {relation} v SET {sets} FROM json_populate_recordset(NULL::{relation}, {rows}::json) d"
            " WHERE v.{key} = d.{key}"
        ).format(
            relation=_named(relation),
            sets=sql.SQL(", ").join(sets),
            key=sql.Identifier(key),
            rows=sql.Placeholder(place),
        )
    )


@lru_cache(maxsize=64)
def _delete(relation: str, key: str, place: str) -> Fixed:
    return Fixed(
        sql.SQL("DELETE FROM {} WHERE {} = ANY({})").format(
            _named(relation), sql.Identifier(key), sql.Placeholder(place)
        )
    )
