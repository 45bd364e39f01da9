"""The preview of an undo: does what the undo would do, and rolls all of it back. Nothing of it is recorded.

What is told is found by the code that takes records back: planned, compared, written, failing records found by
halving.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Error

from action_ledger.domain.batch import Batch, BatchStatus, Compensated
from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.event import Metadata, Tally
from action_ledger.projections.store import Store, Transaction

from .catalog import read_for_change
from .compensator import compensate_batch
from .in_the_way import HELD, Held, look_in_the_way
from .previewed import Note, PreviewLimits, extent
from .rehearsal import planning_of, rehearse
from .sources import SQL as UNDO
from .sources import find_sources
from .trial import PLACES
from .undo_examples import SQL, Examples
from .undo_previewed import OfColumn, UndoPreview
from .undo_request import Plan, UndoRequest
from .write import Owner


def preview_undo(
    store: Store,
    command: RequestUndo,
    new_id: Callable[[], UUID],
    *,
    sample: int,
    limits: PreviewLimits,
) -> UndoPreview:
    """Try it, and roll it back. Raises what the undo itself would raise, and PreviewBlocked."""
    with rehearse(store, limits, sample=sample) as transaction:
        look = _Look(transaction, command, new_id)
        return look.see(sample=sample, most=limits.records)


class _Slice(NamedTuple):
    """The first places of a batch's change sets."""

    batch_id: UUID
    records: int
    most: int | None


class _Look:
    """What is done within the transaction that is rolled back."""

    def __init__(
        self, transaction: Transaction, command: RequestUndo, new_id: Callable[[], UUID]
    ) -> None:
        self._transaction = transaction
        self._command = command
        self._new_id = new_id

    def see(self, *, sample: int, most: int) -> UndoPreview:
        """Plan it, try it, and read everything that is to be told."""
        command, transaction = self._command, self._transaction
        request = UndoRequest(transaction, command, self._new_id)
        with planning_of(f"execution {command.execution_id}"):
            plan = request.plan()
        slices = [] if plan.effect else self._slices(plan, most)
        whole = len(slices) == len(plan.counts) and all(s.most is None for s in slices)
        conflicts = None
        if plan.conflicts is not None and most and not whole:
            conflicts = plan.conflicts().records
        started = time.monotonic()
        done: list[Compensated] = []
        held: Held | None = None
        try:
            with transaction.savepoint():
                done = [self._compensate(plan, slice_) for slice_ in slices]
        except Error as error:
            if error.sqlstate not in HELD:
                raise
            asked = [(slice_.batch_id, slice_.records) for slice_ in slices]
            held = look_in_the_way(transaction, plan.table, asked)
        seconds = time.monotonic() - started
        count = sum(plan.counts.values())
        tally = sum((event.tally for event in done), Tally())
        exact = held is None and not plan.effect and whole
        window = transaction.execute(
            UNDO["expiry"], {"execution_id": command.execution_id}
        ).fetchone()
        return UndoPreview(
            execution_id=command.execution_id,
            of_undo=command.of_undo,
            action=plan.execution["action"],
            table=plan.execution["table_name"],
            policy=command.policy,
            only_columns=command.columns,
            count=count,
            batches=len(plan.counts),
            tried=tally.processed,
            exact=exact,
            conflicts_in_all=conflicts,
            tally=tally,
            held=held,
            expected_seconds=seconds * count / tally.processed if tally.processed else None,
            undo_until=window["expires_at"] if window else None,
            notes=tuple(self._notes(plan, tally, held, exact=exact)),
            **self._told(done),
            **Examples(transaction, command.command_id).read(sample),
        )

    def _slices(self, plan: Plan, most: int) -> list[_Slice]:
        """Choose what is tried: all, or as much as goes first where the order counts, or from places evenly spread."""
        counts = list(plan.counts.items())
        if sum(plan.counts.values()) <= most:
            return [_Slice(batch_id, records, None) for batch_id, records in counts]
        if not most or self._moves_keys(plan):
            return []
        if plan.serial:
            found: list[_Slice] = []
            for batch_id, records in counts:
                if most > 0:
                    found.append(_Slice(batch_id, records, None if records <= most else most))
                most -= records
            return found
        places = min(len(counts), PLACES, most)
        chosen = [counts[n * len(counts) // places] for n in range(places)]
        return [_Slice(batch_id, records, most // places) for batch_id, records in chosen]

    def _moves_keys(self, plan: Plan) -> bool:
        """Say whether keys go back, which is tried whole or not at all: records are in one another's way."""
        sources = find_sources(
            self._transaction,
            execution_id=self._command.execution_id,
            of_undo=self._command.of_undo,
            numbers=self._command.batches,
        )
        acted = {name for source in sources if source.kind == "update" for name in source.acted}
        written = tuple(column for column in plan.table.columns if column.name in acted)
        return bool({*written, *plan.table.computed_from(written)} & set(plan.table.key))

    def _compensate(self, plan: Plan, slice_: _Slice) -> Compensated:
        command = self._command
        version = plan.versions[slice_.batch_id]
        return compensate_batch(
            self._transaction,
            read_for_change(self._transaction, plan.execution["table_name"]),
            Batch(slice_.batch_id, version, BatchStatus.COMPENSATING),
            owner=Owner(
                id=self._new_id(),
                batch_id=slice_.batch_id,
                execution_id=command.execution_id,
                undo_id=command.command_id,
                batch_version=version + 1,
                direction="undo",
            ),
            number=1,
            of_undo=command.of_undo,
            policy=command.policy,
            chosen=None if command.keys is None else command.command_id,
            columns=command.columns,
            attempt=1,
            worker="preview",
            metadata=Metadata(
                actor=command.actor.subject,
                correlation_id=command.command_id,
                causation_id=command.command_id,
            ),
            most=slice_.most,
        )

    def _notes(self, plan: Plan, tally: Tally, held: Held | None, *, exact: bool) -> Iterator[Note]:
        is_held = held is not None
        yield from extent(effect=plan.effect, held=is_held, exact=exact, tried=tally.processed)
        if tally.processed and (plan.table.writes or plan.table.followed):
            yield Note.SEQUENCES

    def _told(self, done: Sequence[Compensated]) -> dict[str, Any]:
        """Add up what the events say, and count what they do not."""
        id_ = {"id": self._command.command_id}
        rows = self._transaction.execute(SQL["left"], id_).fetchall()
        restored = self._by_name("restored")
        changed = self._by_name("changed")
        children: dict[str, Tally] = {}
        for event in done:
            for table, tally in event.children.items():
                children[table] = children.get(table, Tally()) + tally
        return {
            "left": {row["reason"]: row["records"] for row in rows if row["outcome"] != "failed"},
            "sqlstates": _added(event.sqlstates for event in done),
            "columns": {
                name: OfColumn(restored=restored[name], changed_since=changed[name])
                for name in sorted({*restored, *changed})
            },
            "children": children,
            "reached": _added(event.reached for event in done),
            "excepted": tuple(sorted({name for event in done for name in event.excepted})),
        }

    def _by_name(self, block: str) -> Counter[str]:
        rows = self._transaction.execute(SQL[block], {"id": self._command.command_id}).fetchall()
        return Counter({row["name"]: row["records"] for row in rows})


def _added(counts: Iterator[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
