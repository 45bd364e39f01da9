"""The trial: does to planned records what a run would do to them, and reads what came of it, to be rolled back."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Error, sql
from pydantic import BaseModel, ConfigDict

from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.event import Metadata, Tally
from action_ledger.domain.failure import OnFailure, too_many
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .applier import apply_batch
from .arrays import Arrays, record_at
from .change import Change
from .cutter import Cut
from .images import array_of, unnested
from .in_the_way import HELD, Held, look_in_the_way
from .table import Column, reference_of

SQL = read_blocks("action_ledger.workers", "preview.sql")
PLACES = 20
"""From so many places, evenly spread over the plan, a sample is taken."""
_KINDS = ("inserted", "updated", "deleted")


class Model(BaseModel):
    """The base of what a preview tells."""

    model_config = ConfigDict(frozen=True)


class Failure(Model):
    """A record that the database would refuse, with what it said."""

    key: tuple[str, ...]
    sqlstate: str | None
    constraint: str | None
    message: str | None


class Difference(Model):
    """A record before and after, by column, as PostgreSQL's text. ``after`` is None for one that would be gone."""

    key: tuple[str, ...]
    before: dict[str, str | None] | None
    after: dict[str, str | None] | None


class Along(Model):
    """Rows beside the records themselves that foreign keys and triggers would write along."""

    table: str
    inserted: int
    updated: int
    deleted: int


class Trial(Model):
    """What came of it. ``tried`` counts the records that came to an end."""

    tried: int = 0
    tally: Tally = Tally()
    skipped: dict[str, int] = {}
    sqlstates: dict[str, int] = {}
    stopped: bool = False
    """Whether so many failed that the policy for failures would stop the run there."""
    failures: tuple[Failure, ...] = ()
    changes: tuple[Difference, ...] = ()
    along: tuple[Along, ...] | None = None
    """None where the server does not count. Where records fail they are at most so many: attempts count too."""
    change_bytes: int | None = None
    seconds: float = 0
    held: Held | None = None
    """What was in the way; then nothing else is known."""


class Slice(NamedTuple):
    """The first records of a batch."""

    cut: Cut
    records: int


def slices_of(cuts: Sequence[Cut], most: int, *, divisible: bool) -> list[Slice]:
    """Choose what is tried: all records, or at most so many, from places evenly spread.

    What is not ``divisible``, since its records are in one another's way, is tried whole or not at all.
    """
    if sum(cut.records for cut in cuts) <= most:
        return [Slice(cut, cut.records) for cut in cuts]
    if not divisible or not most:
        return []
    places = min(len(cuts), PLACES, most)
    chosen = [cuts[n * len(cuts) // places] for n in range(places)]
    return [Slice(cut, min(cut.records, most // places)) for cut in chosen]


class Trying:
    """One trial, in a transaction that is going to be rolled back."""

    def __init__(
        self, transaction: Transaction, command: RequestExecution, change: Change, id_: UUID
    ) -> None:
        """``id_`` is whose key sets the plan's are."""
        self._transaction = transaction
        self._command = command
        self._change = change
        self._id = id_

    def run(self, slices: Sequence[Slice], *, total: int, show: int) -> Trial:
        """Do it, and read what came of it, with at most ``show`` failures and differences."""
        started = time.monotonic()
        before = self._written()
        try:
            with self._transaction.savepoint():
                trial = self._apply(slices, total)
        except Error as error:
            if error.sqlstate not in HELD:
                raise
            held = look_in_the_way(
                self._transaction, self._change.table, [(s.cut.owner, s.records) for s in slices]
            )
            return Trial(held=held)
        seconds = time.monotonic() - started
        return trial.model_copy(
            update={
                "seconds": seconds,
                "skipped": self._skipped(),
                "failures": self._failures(show),
                "changes": self._changes(min(show, trial.tried)),
                "along": self._along(before, trial.tally.applied),
                "change_bytes": self._row("change_bytes")["bytes"],
            }
        )

    def _apply(self, slices: Sequence[Slice], total: int) -> Trial:
        command, tally = self._command, Tally()
        sqlstates: Counter[str] = Counter()
        stopped = False
        for cut, records in slices:
            completed = apply_batch(
                self._transaction,
                self._change,
                Batch(cut.owner, 1, BatchStatus.PLANNED),
                execution_id=self._id,
                number=cut.number,
                records=records,
                attempt=1,
                worker="preview",
                metadata=Metadata(
                    actor=command.actor.subject, correlation_id=self._id, causation_id=self._id
                ),
            )
            tally += completed.tally
            sqlstates.update(completed.sqlstates)
            stopped = command.on_failure is not OnFailure.CONTINUE and too_many(
                tally.failed,
                total,
                max_failures=command.max_failures,
                max_failure_ratio=command.max_failure_ratio,
            )
            if stopped:
                break
        return Trial(tried=tally.processed, tally=tally, sqlstates=dict(sqlstates), stopped=stopped)

    def _skipped(self) -> dict[str, int]:
        rows = self._transaction.execute(SQL["skipped"], {"id": self._id})
        return {row["reason"]: row["records"] for row in rows}

    def _failures(self, show: int) -> tuple[Failure, ...]:
        arrays = Arrays(self._transaction)
        rows = self._transaction.execute(SQL["failures"], {"id": self._id, "limit": show})
        return tuple(
            Failure(
                key=tuple(str(column[0]) for column in arrays.columns(row["keys"])),
                sqlstate=row["sqlstate"],
                constraint=row["constraint_name"],
                message=row["message"],
            )
            for row in rows
        )

    def _changes(self, show: int) -> tuple[Difference, ...]:
        captured = self._change.captured
        if not show or not captured:
            return ()
        statement = self._transaction.compose(
            SQL["changes"],
            keys=_first("keys", self._change.table.key),
            before=_first("before", captured),
            after=_first("after", captured)
            if self._change.kind == "update"
            else sql.SQL("NULL::text[]"),
        )
        names, arrays = [column.name for column in captured], Arrays(self._transaction)
        found: list[Difference] = []
        values = {"id": self._id, "limit": show, "show": show}
        for row in self._transaction.cursor.execute(statement, values).fetchall():
            keys = arrays.columns(row["keys"])
            before, after = arrays.columns(row["before"]), arrays.columns(row["after"])
            found += [
                Difference(
                    key=key, before=record_at(names, before, n), after=record_at(names, after, n)
                )
                for n, key in enumerate(zip(*keys, strict=True))
            ]
        return tuple(found[:show])

    def _written(self) -> dict[int, dict[str, Any]] | None:
        if not self._row("counts_writes")["counts"]:
            return None
        values = {"table": self._change.table.oid, "ledger": self._transaction.schema_name}
        rows = self._transaction.execute(SQL["written"], values)
        return {row["oid"]: row for row in rows}

    def _along(
        self, before: dict[int, dict[str, Any]] | None, applied: int
    ) -> tuple[Along, ...] | None:
        """Tell what else was written from what was written before and is now; of the table itself, what was deleted."""
        after = self._written()
        if before is None or after is None:
            return None
        found: list[Along] = []
        own = -applied
        for oid, row in after.items():
            earlier = before.get(oid, {})
            new = {kind: row[kind] - earlier.get(kind, 0) for kind in _KINDS}
            if row["own"]:
                own += new["deleted"]
            elif any(new.values()):
                found.append(Along(table=row["table"], **new))
        if self._change.kind == "delete" and own > 0:
            itself = reference_of(self._change.table)
            found.insert(0, Along(table=itself, inserted=0, updated=0, deleted=own))
        return tuple(found)

    def _row(self, block: str) -> dict[str, Any]:
        row = self._transaction.execute(SQL[block], {"id": self._id}).fetchone()
        if row is None:
            message = "a SELECT of this kind gives one row"
            raise AssertionError(message)
        return row


def _first(field: str, columns: Sequence[Column]) -> sql.Composable:
    """Give the first values of each column of a bulk field, as the texts of arrays."""
    return array_of(
        [
            sql.SQL("(({})[1:%(show)s::int])::text").format(array)
            for array in unnested(f"s.{field}", columns)
        ]
    )
