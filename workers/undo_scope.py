"""What an undo would take back: counted batch by batch, and refused where its policy says so."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql

from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import UndoConflicts
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.projections.store import Transaction

from .catalog import read_table
from .images import aliases, listed, numbered
from .inverse import conflicting
from .reading import Reading
from .shares import Shares
from .sources import SQL, Source, batches_by_columns
from .table import Table

SHOWN = 10


class Conflicts(NamedTuple):
    """Records that somebody changed since, and keys of the first, those of rows that went along with their table."""

    records: int
    sample: list[str]


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

        A batch of which none is left is among them when children of its records stayed behind. Raises UndoConflicts.
        """
        if self._command.policy is ConflictPolicy.FAIL:
            found = self.conflicts(sources)
            if found.records:
                raise UndoConflicts(
                    execution_id=self._command.execution_id,
                    conflicts=found.records,
                    sample=tuple(found.sample[:SHOWN]),
                )
        counts: dict[UUID, int] = {}
        children: set[UUID] = set()
        for source in sources:
            counts.setdefault(source.batch_id, 0)
            if source.child_table is not None:
                if not counts[source.batch_id] and self._left_behind(source):
                    children.add(source.batch_id)
                continue
            for reading in self._shares.readings(source, alone=True, looks=False):
                whole = self._chosen is None and not source.superseded
                counts[source.batch_id] += source.records if whole else self._count(reading)
        # A record that stands in several change sets, each for another column, is one.
        for batch_id in batches_by_columns(sources):
            counts[batch_id] = self._shares.count_standing(batch_id, self._command.of_undo)
        return {
            batch_id: count for batch_id, count in counts.items() if count or batch_id in children
        }

    def conflicts(self, sources: Sequence[Source]) -> Conflicts:
        """Count what somebody changed since, whatever the policy, rows that went along among them; lock nothing."""
        records, sample = 0, list[str]()
        for source in sources:
            if source.child_table is None:
                readings = self._shares.readings(source, alone=True, looks=False)
            else:
                readings = [self._children(source, parents_back=False)]
            for reading in readings:
                found = self._conflicts(reading)
                records += found["records"]
                if len(sample) < SHOWN:
                    child = source.child_table
                    sample += [
                        key if child is None else f"{child} {key}" for key in found["sample"]
                    ]
        return Conflicts(records, sample)

    def _conflicts(self, reading: Reading) -> dict[str, Any]:
        names = numbered("k", len(reading.table.key))
        return self._ask(
            "conflicts",
            reading,
            table=reading.table.identifier,
            located=reading.located(),
            conflicting=conflicting(reading),
            keys=listed(aliases("q", "k", len(names))),
            names=listed(names),
            texts=listed(sql.SQL("{}::text").format(name) for name in names),
        )

    def _left_behind(self, source: Source) -> bool:
        """Say whether rows that had gone along with records are still to come back, whose records are back."""
        return self._count(self._children(source)) > 0

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
            Reading(
                *(self._transaction, self._table, one),
                chosen=self._chosen,
                columns=self._command.columns,
            )
            for one in whole
        )
        return any(self._count(reading) for reading in readings)

    def _count(self, reading: Reading) -> int:
        return int(self._ask("count_planned", reading)["records"])

    def _ask(self, block: str, reading: Reading, **parts: Any) -> dict[str, Any]:  # noqa: ANN401
        statement = self._transaction.compose(SQL[block], planned=reading.planned(), **parts)
        values = {**reading.parameters, "lo": 1, "hi": reading.source.records, "show": SHOWN}
        (row,) = self._transaction.cursor.execute(statement, values).fetchall()
        return row
