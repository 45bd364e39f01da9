"""The cutter: cuts a selection into key sets, inside the server."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql

from action_ledger.domain.selection import Unfinished
from action_ledger.projections.sql_blocks import Fixed, read_blocks
from action_ledger.projections.store import Transaction

from .change import Change
from .images import (
    array_of,
    array_type,
    columns_of,
    element,
    listed,
    numbered,
    undomained,
    unnested,
    value,
)
from .keys import keys_checked
from .table import Column, Table

SQL = read_blocks("action_ledger.workers", "planner.sql")


class Cut(NamedTuple):
    """A key set as it was cut."""

    owner: UUID
    number: int
    records: int
    digest: str
    locked: bool = False
    """Whether its records are those that others have."""


class KeptKeys(NamedTuple):
    """Key sets that were cut before, for a selection that was frozen then, and the columns of their key."""

    owner: UUID
    key: tuple[str, ...]


class Cutter:
    """Cuts for one execution, over one table."""

    def __init__(
        self, transaction: Transaction, table: Table, execution_id: UUID, batch_size: int
    ) -> None:
        self._transaction = transaction
        self._table = table
        self._execution_id = execution_id
        self._values = {"execution_id": execution_id, "batch_size": batch_size}
        self._names = numbered("k", len(table.key))

    def matching(self, change: Change) -> list[Cut]:
        """Cut all records that the change's condition holds for, as one snapshot sees them."""
        selected = self._compose("matching", key=self._key(), match=change.match)
        return self._cut(selected, change.parameters)

    def listed(self, keys: Sequence[Sequence[Any]], *, owner: UUID | None = None) -> list[Cut]:
        """Cut the keys that are given, as one list a key column. Doubles count once.

        With an ``owner`` they become one key set of that owner's.
        """
        names = _names_of(self._table.key)
        selected = _listing(self._table.key)
        values = {name: list(column) for name, column in zip(names, keys, strict=True)}
        with keys_checked(self._table):
            return self._cut(selected, values, owner=owner)

    def unfinished(self, selection: Unfinished) -> list[Cut]:
        """Cut the keys of what another execution over the same table did not get done."""
        selected = self._compose(
            "unfinished", arrays=listed(unnested("s.keys", self._table.key)), keys=self._decoded()
        )
        return self._cut(selected, selection.model_dump(include={"of", "failed", "not_processed"}))

    def streamed(self, rows: Iterable[Sequence[Any]]) -> list[Cut]:
        """Cut keys out of an iterable of any length: they go to the server as they come."""
        cursor = self._transaction.cursor
        cursor.execute(self._compose("staging", key=self._key()), {})
        with keys_checked(self._table), cursor.copy(self._compose("stage")) as copy:
            for row in rows:
                copy.write_row(row)
        return self._cut(self._compose("staged"), {})

    def copied(self, source: UUID) -> list[Cut]:
        """Take over the key sets of a frozen selection as they are, batch for batch."""
        cursor = self._transaction.execute(SQL["copied"], {**self._values, "source": source})
        return _cuts(cursor.fetchall())

    def taken(self, after: int = 0) -> list[Cut]:
        """Give the key sets that there are, after the batch of a number."""
        cursor = self._transaction.execute(SQL["taken"], {**self._values, "after": after})
        return [Cut(**row) for row in cursor.fetchall()]

    def forget(self) -> None:
        """Take the key sets away that were cut for an execution and never planned."""
        self._transaction.execute(SQL["forget_taken"], self._values)

    def pages(
        self, change: Change, *, after: Sequence[str] | None, number: int, count: int
    ) -> list[Cut]:
        """Cut up to ``count`` batches beyond a key, each of the records as they are when it is cut.

        ``number`` is that of the newest batch so far. Fewer than ``count`` say that there are no more.
        """
        cuts: list[Cut] = []
        while len(cuts) < count:
            page = self._page(change, after, number + len(cuts))
            if not page:
                break
            cuts += page
            _, after = self.last()
        return cuts

    def _page(self, change: Change, after: Sequence[str] | None, number: int) -> list[Cut]:
        beyond: sql.Composable = sql.SQL("true")
        parameters: dict[str, Any] = {}
        if after is not None:
            names = [f"after{n}" for n in range(len(after))]
            parameters = dict(zip(names, after, strict=True))
            last = [
                sql.SQL("{}::{}").format(sql.Placeholder(name), column.plain_type_sql)
                for name, column in zip(names, self._table.key, strict=True)
            ]
            beyond = self._compose("beyond", last=listed(last))
        selected = self._compose("page", key=self._key(), match=change.match, beyond=beyond)
        return self._cut(selected, {**change.parameters, **parameters}, page=number)

    def last(self) -> tuple[int, list[str] | None]:
        """Say where the plan stands: how many batches there are, and the last key planned."""
        cursor = self._transaction.execute(SQL["last_planned"], self._values)
        row = cursor.fetchone()
        return (0, None) if row is None else (row["number"], row["last_key"])

    def all(self) -> list[tuple[int, str]]:
        """Give (records, digest) of every key set of the execution."""
        cursor = self._transaction.execute(SQL["digests"], self._values)
        return [(row["records"], row["digest"]) for row in cursor.fetchall()]

    def _cut(
        self,
        selected: sql.Composable,
        parameters: Mapping[str, Any],
        *,
        page: int | None = None,
        owner: UUID | None = None,
    ) -> list[Cut]:
        """Cut what is selected; a page is one key set, after so many others."""
        text = selected if isinstance(selected, Fixed) else Fixed(selected)
        cursor = self._transaction.cursor
        cursor.execute(
            _cutting(self._transaction.schema_name, self._table.key, text, whole=page is not None),
            {**parameters, **self._values, "offset": page or 0, "owner": owner},
        )
        return _cuts(cursor.fetchall())

    def _compose(self, block: str, **parts: sql.Composable) -> sql.Composed:
        return self._transaction.compose(
            SQL[block],
            **{
                "table": self._table.identifier,
                "key_names": listed(self._names),
                "plain_key": listed(columns_of("t", self._table.key)),
                **parts,
            },
        )

    def _key(self) -> sql.Composable:
        """Name the key's columns; a domain counts as the type below it."""
        return listed(
            sql.SQL("{} AS {}").format(undomained(column, reference), name)
            for column, reference, name in zip(
                self._table.key, columns_of("t", self._table.key), self._names, strict=True
            )
        )

    def _decoded(self) -> sql.Composable:
        return _decoded(self._table.key)


def _decoded(key: Sequence[Column]) -> sql.Composable:
    names = numbered("k", len(key))
    return listed(
        sql.SQL("{} AS {}").format(value(column, name), name)
        for column, name in zip(key, names, strict=True)
    )


def _names_of(key: Sequence[Column]) -> list[str]:
    """Name the parameters that hold keys."""
    return [f"key{n}" for n in range(len(key))]


# What is cut again and again is put together once: the keys that are given, of one table.
@lru_cache(maxsize=128)
def _listing(key: tuple[Column, ...]) -> Fixed:
    """Select the keys that are given."""
    arrays = [
        sql.SQL("{}::{}").format(sql.Placeholder(name), array_type(column))
        for name, column in zip(_names_of(key), key, strict=True)
    ]
    names = listed(numbered("k", len(key)))
    return Fixed(SQL["listed"].format(arrays=listed(arrays), keys=_decoded(key), key_names=names))


@lru_cache(maxsize=128)
def _cutting(schema: str, key: tuple[Column, ...], selected: Fixed, *, whole: bool) -> Fixed:
    """Cut what is selected, into one key set if it is to be ``whole``."""
    names, arrays = numbered("k", len(key)), numbered("a", len(key))
    order = listed(names)
    return Fixed(
        SQL["cut"].format(
            schema=sql.Identifier(schema),
            selected=selected,
            key_names=order,
            slice=sql.SQL("0") if whole else SQL["slice"].format(key_names=order),
            arrays=listed(
                sql.SQL("array_agg({} ORDER BY {}) AS {}").format(element(c, n), order, a)
                for c, n, a in zip(key, names, arrays, strict=True)
            ),
            keys=array_of([sql.SQL("{}::text").format(a) for a in arrays]),
            first_key=array_of([sql.SQL("{}[1]::text").format(a) for a in arrays]),
            last_key=array_of([sql.SQL("{}[records]::text").format(a) for a in arrays]),
        )
    )


def _cuts(rows: Iterable[Mapping[str, Any]]) -> list[Cut]:
    """Make cuts of the rows that were returned, in the order of their batches."""
    cuts = (Cut(row["owner"], row["number"], row["records"], row["digest"]) for row in rows)
    return sorted(cuts, key=lambda cut: cut.number)
