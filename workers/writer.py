"""The writer: one statement that changes a slice of a batch and keeps its change set, whatever the change is.

The same statement serves an action and its undo, redo and their batches: they differ in the parts that a
:class:`Write` names.
"""

from dataclasses import replace

from psycopg import sql

from action_ledger.projections import tracing
from action_ledger.projections.store import Transaction

from .order import (
    Direction,
    direction_of,
    kept_in_order,
    located_unmoved,
    moves_keys,
    ordered,
)
from .statements import Statements
from .write import KeyRewritten, Owner, Write, Written


class Writer:
    """Runs a write for slices of one batch, in one transaction."""

    def __init__(
        self,
        transaction: Transaction,
        owner: Owner,
        write: Write,
        *,
        ordered: bool,
        part: int = 0,
        outcomes: int = 0,
    ) -> None:
        """``ordered`` takes the rows in key order first, as is done after a deadlock.

        ``part`` and ``outcomes`` are how many parts of change set and of outcomes the owner has already.
        """
        self._transaction = transaction
        self._owner = owner
        write = replace(write, located=located_unmoved(transaction, write))
        self._write = write
        self._statements = Statements(transaction, write)
        self._lock_rows = (
            self._statements.lock_rows()
            if write.kind != "insert" and (ordered or self._statements.reads_first)
            else None
        )
        self._statement = self._statements.write()
        self._in_order: tuple[Direction, sql.Composed] | None = None
        self.part = part
        self.outcomes = outcomes

    @property
    def direction(self) -> Direction | None:
        """Where keys are moved, once an order was found in which none is in the way of another."""
        return None if self._in_order is None else self._in_order[0]

    def order(self, lo: int, hi: int) -> bool:
        """Look for an order in which the keys of these records can be moved; from then on it is kept to."""
        if self._in_order is not None or not moves_keys(self._write):
            return False
        values = {**self._write.parameters, **self._owned(), "lo": lo, "hi": hi}
        if (direction := direction_of(self._transaction, self._write, values)) is None:
            return False
        planned = ordered(self._transaction, self._write, direction)
        statements = Statements(self._transaction, replace(self._write, planned=planned))
        self._in_order = direction, statements.write()
        return True

    def apply(self, lo: int, hi: int) -> Written:
        """Change the records number ``lo`` to ``hi`` (from 1, both included) of the planned ones."""
        if self._in_order is None:
            return self._apply(self._statement, lo, hi)
        with kept_in_order(self._transaction):
            return self._apply(self._in_order[1], lo, hi)

    def _apply(self, statement: sql.Composed, lo: int, hi: int) -> Written:
        cursor, write = self._transaction.cursor, self._write
        values = {
            **write.parameters,
            **self._owned(),
            "part": self.part + 1,
            "batch_version": self._owner.batch_version,
            "direction": self._owner.direction,
            "kind": write.kind,
            "columns": [column.name for column in write.captured],
            "types": [column.recorded_type for column in write.captured],
            "acted": [column.name for column in write.acted],
            "lo": lo,
            "hi": hi,
        }
        with tracing.statement(write.kind.upper(), table=write.table.name):
            if self._lock_rows is not None:
                cursor.execute(self._lock_rows, values)
            cursor.execute(statement, values)
            row = cursor.fetchone()
        if row is None:
            message = "an aggregate gives one row"
            raise AssertionError(message)
        if row["written"] != row["records"]:
            raise KeyRewritten("a trigger gave the row another key")
        self.part += 1
        return Written(
            records=row["records"],
            part=self.part,
            digest=row["digest"],
            inexact=bool(row["inexact"]),
        )

    def read_again(self, part: int) -> str | None:
        """Take the rows as they are now for the after-images of a part; give its digest if that changed it.

        Under the row locks that this transaction holds, what is read is what it will commit.
        """
        row = self._transaction.cursor.execute(
            self._statements.read_again(), {"owner": self._owner.id, "part": part}
        ).fetchone()
        return None if row is None else str(row["digest"])

    def record_missed(self, lo: int, hi: int) -> dict[str, int]:
        """Keep the planned records that the last ``apply`` did not change; give the number for each reason."""
        self._transaction.cursor.execute(
            self._statements.missed(),
            {
                **self._write.parameters,
                **self._owned(),
                "part": self.part,
                "first_part": self.outcomes,
                "acted": [column.name for column in self._write.acted],
                "lo": lo,
                "hi": hi,
            },
        )
        reasons = {row["reason"]: row["records"] for row in self._transaction.cursor.fetchall()}
        self.outcomes += len(reasons)
        return reasons

    def record_failed(
        self, at: int, *, sqlstate: str, constraint: str | None, message: str
    ) -> None:
        """Keep one record that the database would not take, with what the database said."""
        self.outcomes += 1
        self._transaction.cursor.execute(
            self._statements.failed(),
            {
                **self._write.parameters,
                **self._owned(),
                "first_part": self.outcomes,
                "sqlstate": sqlstate,
                "constraint": constraint,
                "message": message,
                "lo": at,
                "hi": at,
            },
        )

    def _owned(self) -> dict[str, object]:
        owner = self._owner
        return {
            "owner": owner.id,
            "batch_id": owner.batch_id,
            "execution_id": owner.execution_id,
            "undo_id": owner.undo_id,
        }
