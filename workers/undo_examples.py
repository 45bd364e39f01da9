"""The first records of what an undo would do: in conflict, refused by the database, and taken back."""

from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .arrays import Arrays, record_at
from .trial import Difference, Failure
from .undo_previewed import Conflict

SQL = read_blocks("action_ledger.workers", "undo_preview.sql")


class Examples:
    """Reads them of one undo, in the transaction that tried it."""

    def __init__(self, transaction: Transaction, undo_id: UUID) -> None:
        self._transaction = transaction
        self._undo_id = undo_id
        self._arrays = Arrays(transaction)

    def read(self, show: int) -> dict[str, Any]:
        """Give so many of each at most."""
        return {
            "conflicts": tuple(islice(self._conflicts(show), show)),
            "failures": tuple(islice(self._failures(show), show)),
            "changes": tuple(islice(self._changes(show), show)),
        }

    def _conflicts(self, show: int) -> Iterator[Conflict]:
        for row in self._rows("outcomes", show, outcome="conflict"):
            recorded, current = self._columns(row, "recorded"), self._columns(row, "current")
            for n, key in enumerate(zip(*self._columns(row, "keys"), strict=True)):
                yield Conflict(
                    key=key,
                    reason=row["reason"],
                    table=row["table"],
                    recorded=record_at(row["columns"], recorded, n),
                    current=record_at(row["columns"], current, n),
                )

    def _failures(self, show: int) -> Iterator[Failure]:
        for row in self._rows("outcomes", show, outcome="failed"):
            named = {name: row[name] for name in ("sqlstate", "constraint", "message")}
            for key in zip(*self._columns(row, "keys"), strict=True):
                yield Failure(key=key, **named)

    def _changes(self, show: int) -> Iterator[Difference]:
        for row in self._rows("changes", show):
            before, after = self._columns(row, "before"), self._columns(row, "after")
            for n, key in enumerate(zip(*self._columns(row, "keys"), strict=True)):
                yield Difference(
                    key=key,
                    before=record_at(row["columns"], before, n),
                    after=record_at(row["columns"], after, n),
                )

    def _rows(self, block: str, show: int, **values: str) -> list[dict[str, Any]]:
        asked = {"id": self._undo_id, "show": show, **values}
        return self._transaction.execute(SQL[block], asked).fetchall()

    def _columns(self, row: dict[str, Any], field: str) -> list[list[Any]]:
        return self._arrays.columns(row[field])
