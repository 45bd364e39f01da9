"""The writer: one statement that changes a slice of a batch and keeps its change set, whatever the change is.

The same statement serves an action and its undo, redo and their batches: they differ in the parts that a
:class:`Write` names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from action_ledger.projections import tracing
from action_ledger.projections.store import Transaction

from .children import Captured, Children
from .order import (
    Direction,
    direction_of,
    kept_in_order,
    located_unmoved,
    moves_keys,
    ordered,
)
from .reach import Reach
from .statements import Statements, statements_of
from .write import KeyRewritten, Owner, Refusal, Write, Written

PREPARED_FOR = 100
"""So few records are changed by a prepared statement. For more its plan may be too old: one made while the table
was small would go through all of it, and compare each row with every key."""


class Writer:
    """Runs a write for slices of one batch, in one transaction."""

    def __init__(
        self,
        transaction: Transaction,
        owner: Owner,
        write: Write,
        parameters: Mapping[str, Any],
        *,
        ordered: bool,
        part: int = 0,
        outcomes: int = 0,
        reach: Reach | None = None,
    ) -> None:
        """``parameters`` are the values of the write's placeholders, but for lo and hi.

        ``ordered`` takes the rows in key order first, as is done after a deadlock.

        ``part`` and ``outcomes`` are how many parts of change set and of outcomes the owner has already. ``reach``
        is what the write takes along, which is captured then.
        """
        self._transaction = transaction
        self._owner = owner
        if (located := located_unmoved(transaction, write)) is not write.located:
            # One by one: what is at a key may have been moved there a moment ago.
            write = replace(write, located=located, at_once=None)
        self._write = write
        self._parameters = parameters
        self._statements = self._statements_of(write)
        self._lock_rows = (
            self._statements.lock_rows
            if write.kind != "insert" and (ordered or reach or self._statements.reads_first)
            else None
        )
        self._in_order: tuple[Direction, Statements] | None = None
        self._reach = reach
        self._own_part = part
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
        values = {**self._parameters, **self._owner.values, "lo": lo, "hi": hi}
        if (direction := direction_of(self._transaction, self._write, values)) is None:
            return False
        planned = ordered(self._transaction, self._write, direction)
        self._in_order = direction, self._statements_of(replace(self._write, planned=planned))
        return True

    def apply(self, lo: int, hi: int) -> Written:
        """Change the records number ``lo`` to ``hi`` (from 1, both included) of the planned ones."""
        if self._in_order is None:
            return self._apply(self._statements, lo, hi)
        with kept_in_order(self._transaction):
            return self._apply(self._in_order[1], lo, hi)

    def _apply(self, statements: Statements, lo: int, hi: int) -> Written:
        cursor, write = self._transaction.cursor, self._write
        values = {
            **self._parameters,
            **self._owner.values,
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
            children = None
            if self._reach is not None:
                children = Children(
                    self._transaction, write, self._reach, values, of_part=self.part + 1
                )
                children.capture()
            few = hi - lo < PREPARED_FOR
            cursor.execute(statements.write, values, prepare=None if few else False)
            row = cursor.fetchone()
        if row is None:
            message = "an aggregate gives one row"
            raise AssertionError(message)
        if row["written"] != row["records"]:
            raise KeyRewritten("a trigger gave the row another key")
        captured: Sequence[Captured] = ()
        if children is not None:
            children.settle(row["records"])
            captured = children.captured
        self._own_part = self.part + 1
        self.part += 1 + len(captured)
        return Written(
            records=row["records"],
            part=self._own_part,
            digest=row["digest"],
            inexact=bool(row["inexact"]),
            children=captured,
        )

    def read_again(self, part: int) -> str | None:
        """Take the rows as they are now for the after-images of a part; give its digest if that changed it.

        Under the row locks that this transaction holds, what is read is what it will commit.
        """
        row = self._transaction.cursor.execute(
            self._statements.read_again, {"owner": self._owner.id, "part": part}
        ).fetchone()
        return None if row is None else str(row["digest"])

    def record_missed(self, lo: int, hi: int) -> dict[str, int]:
        """Keep the planned records that the last ``apply`` did not change; give the number for each reason."""
        self._transaction.cursor.execute(
            self._statements.missed,
            {
                **self._parameters,
                **self._owner.values,
                "part": self._own_part,
                "first_part": self.outcomes,
                "acted": [column.name for column in self._write.acted],
                "lo": lo,
                "hi": hi,
            },
        )
        reasons = {row["reason"]: row["records"] for row in self._transaction.cursor.fetchall()}
        self.outcomes += len(reasons)
        return reasons

    def record_failed(self, at: int, refusal: Refusal) -> None:
        """Keep one record that the database would not take, with what the database said."""
        self.outcomes += 1
        self._transaction.cursor.execute(
            self._statements.failed,
            {
                **self._parameters,
                **self._owner.values,
                "first_part": self.outcomes,
                **refusal._asdict(),
                "lo": at,
                "hi": at,
            },
        )

    def _statements_of(self, write: Write) -> Statements:
        version = self._transaction.connection.info.server_version
        return statements_of(self._transaction.schema_name, version, write)
