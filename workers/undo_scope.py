"""What an undo would take back: counted batch by batch, and refused where its policy says so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import UndoConflicts
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.projections.store import Transaction

from .catalog import read_table
from .inverse import conflicting
from .reading import Reading
from .shares import Shares
from .sources import SQL, Source, batches_by_columns
from .table import Table


class UndoScope:
    """Counts what one command would take back; ``chosen`` owns the key set of the records that it names, if any."""

    def __init__(
        self, transaction: Transaction, command: RequestUndo, table: Table, chosen: UUID | None
    ) -> None:
        self._transaction = transaction
        self._command = command
        self._table = table
        self._chosen = chosen
        self._shares = Shares(
            *(transaction, table),
            chosen=chosen,
            columns=command.columns,
            policy=command.policy,
        )

    def count(self, sources: Sequence[Source]) -> dict[UUID, int]:
        """Count, for each batch, the records that it would bring back; what was done last comes first.

        A batch of which none is left is among them when children of its records stayed behind.
        """
        counts: dict[UUID, int] = {}
        children: set[UUID] = set()
        conflicts = 0
        for source in sources:
            counts.setdefault(source.batch_id, 0)
            if source.child_table is not None:
                conflicts += self._count_child_conflicts(source)
                if not counts[source.batch_id] and self._left_behind(source):
                    children.add(source.batch_id)
                continue
            for reading in self._shares.readings(source, alone=True, looks=False):
                whole = self._chosen is None and not source.superseded
                counts[source.batch_id] += (
                    source.records if whole else self._ask("count_planned", reading)
                )
                conflicts += self._count_conflicts(reading)
        if conflicts:
            raise UndoConflicts(execution_id=self._command.execution_id, conflicts=conflicts)
        # A record that stands in several change sets, each for another column, is one.
        for batch_id in batches_by_columns(sources):
            counts[batch_id] = self._shares.count_standing(batch_id, self._command.of_undo)
        return {
            batch_id: count for batch_id, count in counts.items() if count or batch_id in children
        }

    def _count_conflicts(self, reading: Reading) -> int:
        if self._command.policy is not ConflictPolicy.FAIL:
            return 0
        return self._ask(
            "count_conflicts",
            reading,
            table=reading.table.identifier,
            located=reading.located(),
            conflicting=conflicting(reading),
        )

    def _count_child_conflicts(self, source: Source) -> int:
        return self._count_conflicts(self._children(source, parents_back=False))

    def _left_behind(self, source: Source) -> bool:
        """Say whether rows that had gone along with records are still to come back, whose records are back."""
        return self._ask("count_planned", self._children(source)) > 0

    def _children(self, source: Source, *, parents_back: bool = True) -> Reading:
        child = read_table(self._transaction.cursor, source.child_table or "")
        return Reading(
            self._transaction,
            child,
            source,
            chosen=self._chosen,
            root=self._table,
            parents_back=parents_back,
        )

    def ever_held(self, sources: Sequence[Source]) -> bool:
        """Say whether any of the chosen records was ever changed, whatever was undone since."""
        whole = (
            replace(source, superseded=False) for source in sources if source.child_table is None
        )
        readings = (
            Reading(self._transaction, self._table, one, chosen=self._chosen) for one in whole
        )
        return any(self._ask("count_planned", reading) for reading in readings)

    def _ask(self, block: str, reading: Reading, **parts: Any) -> int:  # noqa: ANN401
        statement = self._transaction.compose(SQL[block], planned=reading.planned(), **parts)
        values = {**reading.parameters, "lo": 1, "hi": reading.source.records}
        row = self._transaction.cursor.execute(statement, values).fetchone()
        return int(row["records"]) if row else 0
