"""The compensator: takes a batch back from its change sets, in the caller's transaction.

What was updated is set back, what was deleted is inserted, and what an undo inserted is deleted again when it
is redone. Rows that went along through foreign keys follow the records that they went with. Each leaves a change
set of its own, so that a redo is an undo like any other.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from uuid import UUID

from psycopg.errors import ForeignKeyViolation

from action_ledger.domain.batch import Batch, Compensated
from action_ledger.domain.event import Metadata, Tally
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.projections.store import Transaction

from .catalog import read_for_change
from .circle_statements import Group, grouped
from .circles import Circles, Keys, say_why
from .compensation_result import Result
from .excepted import excepted_columns
from .images import aliases, array_of, decoded, gathered, listed, numbered, unnested
from .inverse import inverse_of
from .reach import find_reach
from .reading import Reading
from .shares import Shares
from .slices import Slices, digest_of, outcomes_digest_of
from .sources import SQL, Source, batches_by_columns, find_sources
from .steps import reached
from .table import Table
from .write import Owner, Refusal
from .writer import Writer


def compensate_batch(
    transaction: Transaction,
    table: Table,
    batch: Batch,
    *,
    owner: Owner,
    number: int,
    of_undo: UUID | None,
    policy: ConflictPolicy,
    chosen: UUID | None,
    columns: Collection[str] | None,
    attempt: int,
    worker: str,
    metadata: Metadata,
    most: int | None = None,
) -> Compensated:
    """Bring the batch's records back; give the event that says so, to be appended in this transaction.

    A preview takes only the first of each part back: those at ``most`` places.
    """
    compensation = Compensation(
        *(transaction, table),
        owner=owner,
        policy=policy,
        chosen=chosen,
        columns=columns,
        ordered=attempt > 1,
        most=most,
    )
    compensation.take_back(find_sources(transaction, batch_id=batch.id, of_undo=of_undo))
    result = compensation.end()
    return batch.trigger(
        Compensated,
        metadata,
        execution_id=owner.execution_id,
        undo_id=owner.undo_id,
        compensation_id=owner.id,
        number=number,
        tally=result.tally,
        change_digest=digest_of(result.digests),
        outcomes_digest=outcomes_digest_of(transaction, owner.id, result.outcomes),
        excepted=tuple(sorted(result.excepted)),
        sqlstates=dict(result.sqlstates),
        children=dict(result.children),
        reached=dict(result.reached),
        attempt=attempt,
        worker=worker,
    )


class Compensation:
    """Takes the sources of one batch back, one after the other."""

    def __init__(
        self,
        transaction: Transaction,
        table: Table,
        *,
        owner: Owner,
        policy: ConflictPolicy,
        chosen: UUID | None,
        columns: Collection[str] | None,
        ordered: bool,
        most: int | None = None,
    ) -> None:
        self._transaction = transaction
        self._table = table
        self._owner = owner
        self._policy = policy
        self._chosen = chosen
        self._ordered = ordered
        self._most = most
        self._shares = Shares(transaction, table, chosen=chosen, columns=columns, policy=policy)
        self._shared = False
        self._alone = True
        self._done: list[tuple[Reading, Slices]] = []
        self._part = 0
        self._outcomes = 0
        self._result = Result()
        self._refused: dict[Keys, Refusal] = {}

    def take_back(self, sources: Sequence[Source]) -> None:
        """Write the inverse of each part of the batch's change sets, the newest first.

        Rows of one table, or of a circle of tables, may refer to each other in any way. Where they do so that the
        order in which they went is not enough, those come first that have what they refer to, until none is left.
        """
        self._alone = all(source.child_table is None for source in sources)
        self._shared = bool(batches_by_columns(sources))
        try:
            for source in sources:
                self._take_back(source, referring=True)
        except ForeignKeyViolation:
            left = [replace(source, superseded=True) for source in sources]
            # Both in each round: a long chain of rows would come back by one row a pass.
            while self._pass(left, referred_there=True) + self._close_circles(left):
                pass
            self._pass(left)
            say_why(self._transaction, self._owner.id, self._refused, self._result.sqlstates)

    def _pass(self, sources: Sequence[Source], *, referred_there: bool = False) -> int:
        """Take back what is left; give how many rows that were. Only what the last pass leaves out is listed."""
        self._transaction.execute(SQL["forget_outcomes"], {"owner": self._owner.id})
        self._result.forget_outcomes()
        self._outcomes = 0
        before = self._result.applied
        for source in sources:
            self._take_back(source, referred_there=referred_there)
        return self._result.applied - before

    def _close_circles(self, sources: Sequence[Source]) -> int:
        """Insert together what is left and wants for nothing but each other; give how many rows that were."""
        before = self._result.applied
        members: list[tuple[Group, Writer, Slices]] = []
        for source in grouped(sources):
            reading = self._reading(source, parents_back=False)
            owner = self._owner_of(source)
            write = inverse_of(reading, self._policy)
            writer = Writer(self._transaction, owner, write, reading.parameters, ordered=False)
            slices = Slices(self._transaction, writer)
            records = min(source.records, self._most or source.records)
            members.append((Group(reading, owner, records), writer, slices))
            self._done.append((reading, slices))
        if members:
            circles = Circles(
                *(self._transaction, self._table, members),
                part=self._part,
                refused=self._refused,
            )
            circles.close()
            self._part = circles.part
        for group, _, slices in members:
            self._result.add(group.reading.source.child_table, slices)
        return self._result.applied - before

    def _owner_of(self, source: Source) -> Owner:
        """What takes an undo back does again what it undid: so the redo of a redo is an undo."""
        return replace(
            self._owner,
            direction="redo" if source.direction == "undo" else "undo",
            child_table=source.child_table,
            via=source.via,
        )

    def _take_back(
        self, source: Source, *, referring: bool = False, referred_there: bool = False
    ) -> None:
        if source.child_table is not None:
            reading = self._reading(source, referred_there=referred_there)
            self._write(reading, referring=referring)
            reached("undo.children_back")
            self._leave_without_parent(source)
            return
        if referred_there and source.kind == "delete":
            self._write(self._reading(source, referred_there=True), referring=referring)
            return
        for reading in self._shares.readings(source, alone=self._alone, looks=True):
            self._shared = self._shared or reading.share is not None
            self._write(reading, referring=referring)

    def _write(self, reading: Reading, *, referring: bool) -> None:
        transaction, result, source = self._transaction, self._result, reading.source
        write = inverse_of(reading, self._policy)
        reach = None
        if source.child_table is None:
            written = [each.column for each in write.assignments]
            reach = find_reach(transaction, self._table, write.kind, written)
        owner = self._owner_of(source)
        writer = Writer(
            transaction,
            owner,
            write,
            reading.parameters,
            ordered=self._ordered,
            part=self._part,
            outcomes=self._outcomes,
            reach=reach,
        )
        there = None if reading.share is None or self._most else reading.share.records
        slices = Slices(transaction, writer, referring=referring and write.kind == "insert")
        self._done.append((reading, slices))
        try:
            slices.apply(1, min(source.records, self._most or source.records), records=there)
        finally:
            self._part, self._outcomes = writer.part, writer.outcomes
            result.add(source.child_table, slices)
        if self._shares.keep(reading, owner, part=self._outcomes + 1, parts=slices.parts):
            self._outcomes += 1

    def end(self) -> Result:
        """Look at what triggers made of it, once nothing is written any more."""
        result = self._result
        for reading, slices in self._done:
            source = reading.source
            if reading.inverse != "delete" and reading.table.may_follow(reading.inverse):
                slices.read_again()
            if slices.inexact:
                columns = excepted_columns(
                    *(self._transaction, reading.as_it_was(), self._owner.id, slices.parts),
                    beside=[other for other, _ in self._done if other is not reading],
                )
                child = source.child_table
                result.excepted |= columns if child is None else {f"{child}.{c}" for c in columns}
            result.digests_by_part |= slices.digests_by_part
            result.reached += slices.reached
        if self._shared:
            result.tally = self._shares.recount(self._owner.id)
        result.outcomes = self._outcomes
        return result

    def _reading(
        self, source: Source, *, parents_back: bool = True, referred_there: bool = False
    ) -> Reading:
        referred_there = referred_there and source.kind == "delete"
        if source.child_table is None:
            return Reading(
                self._transaction,
                self._table,
                source,
                chosen=self._chosen,
                referred_there=referred_there,
            )
        return Reading(
            self._transaction,
            read_for_change(self._transaction, source.child_table),
            source,
            chosen=self._chosen,
            root=self._table,
            parents_back=parents_back,
            referred_there=referred_there,
        )

    def _leave_without_parent(self, source: Source) -> None:
        """List the children of records that were left alone."""
        if self._result.tally.processed == self._result.tally.applied:
            return
        reading = self._reading(source, parents_back=False)
        key, root = reading.table.key, self._table.key
        statement = self._transaction.compose(
            SQL["without_parent"],
            planned=reading.planned(),
            gathered=array_of(
                [gathered(c, n) for c, n in zip(key, aliases("q", "k", len(key)), strict=True)]
            ),
            roots=listed(aliases("q", "r", len(root))),
            others=listed(decoded("w", "k", root)),
            arrays=listed(unnested("o.keys", root)),
            key_names=listed(numbered("k", len(root))),
        )
        values = {
            **reading.parameters,
            **replace(self._owner, child_table=source.child_table, via=source.via).values,
            "part": self._outcomes + 1,
            "lo": 1,
            "hi": source.records,
        }
        row = self._transaction.cursor.execute(statement, values).fetchone()
        if row is not None and source.child_table is not None:
            self._outcomes += 1
            self._result.children[source.child_table] += Tally(skipped=row["records"])
