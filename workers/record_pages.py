"""Reads the records of a batch under their locks, a page at a time, for a function of the host's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.rows import tuple_row

from action_ledger.projections.store import Transaction

from .change import Change
from .images import columns_of, listed, numbered, same_key
from .record_columns import as_python, columns_for, key_values
from .record_writes import SQL

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Records by their positions, each with its key as PostgreSQL's text, and of those that match the record."""

    matching: list[tuple[int, Key, dict[str, Any]]]
    others: list[tuple[int, Key]]
    """Those that no longer match."""
    gone: list[tuple[int, Key]]


class Pages:
    """The records of one batch."""

    def __init__(
        self,
        transaction: Transaction,
        change: Change,
        batch_id: UUID,
        columns: Sequence[str] | None,
    ) -> None:
        table = change.table
        read = columns_for(table, columns)
        self._names = [column.name for column in read]
        self._transaction = transaction
        self._values = {**change.parameters, "batch_id": batch_id}
        names = listed(numbered("x", len(table.key)))
        slices = listed(
            sql.SQL("(s.keys[{}]::text[])[%(lo)s:%(hi)s]").format(sql.Literal(n))
            for n in range(1, len(table.key) + 1)
        )
        self._planned = transaction.compose(SQL["planned_page"], key_names=names, slices=slices)
        self._locked = transaction.compose(
            SQL["locked_page"],
            match=change.match,
            columns=listed(map(as_python, read, columns_of("t", read))),
            key_names=names,
            slices=slices,
            table=table.identifier,
            same_key=same_key(columns_of("t", table.key), key_values(table)),
        )

    def read(self, lo: int, hi: int) -> Page:
        """Lock and read the records number ``lo`` to ``hi``."""
        values = {**self._values, "lo": lo, "hi": hi}
        page = Page([], [], [])
        with self._transaction.connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(self._locked, values)
            for position, key, matches, *record in cursor:
                if matches:
                    named = dict(zip(self._names, record, strict=True))
                    page.matching.append((position, tuple(key), named))
                else:
                    page.others.append((position, tuple(key)))
            if len(page.matching) + len(page.others) <= hi - lo:
                found = {position for position, *_ in (*page.matching, *page.others)}
                cursor.execute(self._planned, values)
                page.gone.extend(
                    (position, tuple(key)) for position, key in cursor if position not in found
                )
        return page
