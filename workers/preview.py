"""The preview: does what a run would do, rolls it back, and records that somebody looked.

What is told is found by the code that runs the action: planned, applied, failing records found by halving. Nothing
of it stays, but that sequences may have moved on, as they do not take part in a rollback.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg import sql

from action_ledger.domain.actions import Actions, ExportAction
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.effects import Effect
from action_ledger.domain.preview import Made, PreviewStream, plan_hash, request_digest, token_of
from action_ledger.domain.selection import KeyValue
from action_ledger.projections.store import Store, Transaction

from .actors import metadata_of
from .bodies import save_body
from .compile import Request, check_request, compile_request
from .confirm import keys_digest
from .cutter import SQL as PLANNER
from .cutter import Cut, Cutter
from .images import aliases, columns_of, listed, numbered, same_key
from .planned import planned_keys
from .planner import cut_selection, whole_size
from .previewed import Note, Preview, PreviewLimits, extent
from .rehearsal import planning_of, rehearse
from .request_body import body_of
from .steps import reached
from .table import Table, reference_of
from .terms import terms_of
from .trial import Trial, Trying, slices_of


def make_preview(
    store: Store,
    actions: Actions,
    command: RequestExecution,
    preview_id: UUID,
    *,
    keys: Iterable[KeyValue] | None,
    sample: int,
    limits: PreviewLimits,
) -> Preview:
    """Try it, roll it back, and record that. Raises what the command itself would raise, and PreviewBlocked."""
    with rehearse(store, limits, sample=sample) as transaction:
        look = _Look(transaction, actions, command, preview_id)
        with planning_of(command.resource.table):
            cuts, seconds = look.plan(keys)
        seen = look.see(cuts, seconds, sample=sample, most=limits.records)
    reached("preview.rolled_back")
    return _record(store, seen, limits)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What outlives the rollback."""

    id: UUID
    command: RequestExecution
    body: Request
    made: dict[str, Any]
    """The fields of the event."""
    batches: int
    trial: Trial
    seconds: float | None
    notes: tuple[Note, ...]
    sample: list[dict[str, str | None]]


class _Look:
    """What is done within the transaction that is rolled back."""

    def __init__(
        self,
        transaction: Transaction,
        actions: Actions,
        command: RequestExecution,
        preview_id: UUID,
    ) -> None:
        self._transaction = transaction
        self._actions = actions
        self._asked = command
        self._id = preview_id

    def plan(self, keys: Iterable[KeyValue] | None) -> tuple[list[Cut], float]:
        """Plan as a run does; give the time that it took, too."""
        started = time.monotonic()
        self._body = body_of(self._asked)
        compiled = compile_request(self._transaction, self._actions, self._body)
        self._change = change = compiled.change
        self._command = terms_of(self._transaction, self._actions, self._asked, compiled)
        check_request(self._transaction, self._actions, compiled.request, change.table)
        self._effect = isinstance(self._actions.get(self._command.action), Effect | ExportAction)
        command = self._command
        size = whole_size(compiled.select, command.batch_size, command.adaptive)
        cutter = Cutter(self._transaction, change.table, self._id, size)
        cuts = cut_selection(cutter, compiled.select, command.selection, keys)
        return cuts, time.monotonic() - started

    def see(self, cuts: Sequence[Cut], seconds: float, *, sample: int, most: int) -> _Seen:
        """Try it, and read everything that is to be told."""
        command, change, table = self._command, self._change, self._change.table
        count = sum(cut.records for cut in cuts)
        records = _sample(self._transaction, table, cuts, sample)
        slices = [] if self._effect else slices_of(cuts, most, divisible=not change.moves_keys)
        trying = Trying(self._transaction, command, change, self._id)
        trial = _scaled(trying.run(slices, total=count, show=sample), count)
        request = request_digest(command, reference_of(table))
        whole = not self._effect and trial.held is None
        exact = whole and sum(slice_.records for slice_ in slices) == count
        per_record = trial.seconds / trial.tried if trial.tried else None
        made = {
            "action": command.action,
            "table": reference_of(table),
            "selection": command.selection.kind,
            "request_digest": request,
            "plan_hash": plan_hash(request, keys_digest(self._transaction, table, self._id)),
            "records": count,
            "tried": trial.tried,
            "exact": exact,
            "tally": trial.tally,
            "skipped": trial.skipped,
            "sqlstates": trial.sqlstates,
            "change_bytes": trial.change_bytes,
        }
        return _Seen(
            id=self._id,
            command=command,
            body=self._body,
            made=made,
            batches=len(cuts),
            trial=trial,
            seconds=None if per_record is None else seconds + per_record * count,
            notes=tuple(self._notes(trial, exact=exact)),
            sample=records,
        )

    def _notes(self, trial: Trial, *, exact: bool) -> Iterator[Note]:
        table, kind = self._change.table, self._change.kind
        held = trial.held is not None
        yield from extent(effect=self._effect, held=held, exact=exact, tried=trial.tried)
        if trial.stopped:
            yield Note.STOPS
        if trial.tried and (table.may_swallow(kind) or table.may_follow(kind) or trial.along):
            yield Note.SEQUENCES


def _record(store: Store, seen: _Seen, limits: PreviewLimits) -> Preview:
    """Append the event, in a transaction of its own, and tell what was seen."""
    command = seen.command
    with store.transaction(silence=limits.silence) as transaction:
        made = PreviewStream.new(seen.id).trigger(
            Made,
            metadata_of(transaction, command.model_copy(update={"command_id": seen.id})),
            body_digest=save_body(transaction, seen.id, seen.body),
            **seen.made,
        )
        reached("preview.before_append")
        (recorded,) = transaction.append(made)
        reached("preview.before_commit")
    at = recorded.recorded_at
    undo = command.undo_seconds
    return Preview(
        id=seen.id,
        token=token_of(seen.id, made.plan_hash),
        plan_hash=made.plan_hash,
        action=made.action,
        table=made.table,
        count=made.records,
        batches=seen.batches,
        exact=made.exact,
        **seen.trial.model_dump(),
        expected_seconds=seen.seconds,
        undo_seconds=undo,
        undo_until=None if undo is None else at + timedelta(seconds=undo + (seen.seconds or 0)),
        expires_at=at + timedelta(seconds=limits.ttl_seconds),
        notes=seen.notes,
        sample=seen.sample,
    )


def _scaled(trial: Trial, count: int) -> Trial:
    """Let the size of the change set be that of the whole, by what was tried."""
    if trial.change_bytes is None or not trial.tried or trial.stopped:
        return trial
    return trial.model_copy(update={"change_bytes": trial.change_bytes * count // trial.tried})


def _sample(
    transaction: Transaction, table: Table, cuts: Iterable[Cut], size: int
) -> list[dict[str, str | None]]:
    """Read batch after batch until there are enough: of keys that were given, any may be missing."""
    names = numbered("c", len(table.columns))
    statement = transaction.compose(
        PLANNER["sample"],
        columns=listed(
            sql.SQL("{}::text AS {}").format(reference, name)
            for reference, name in zip(columns_of("t", table.columns), names, strict=True)
        ),
        planned=planned_keys(transaction, table),
        table=table.identifier,
        same_key=same_key(columns_of("t", table.key), aliases("q", "k", len(table.key))),
        key=listed(columns_of("t", table.key)),
    )
    found: list[dict[str, str | None]] = []
    for cut in cuts:
        if len(found) >= size:
            break
        values = {"batch_id": cut.owner, "lo": 1, "hi": cut.records, "size": size - len(found)}
        found += [
            {column.name: row[f"c{n}"] for n, column in enumerate(table.columns, 1)}
            for row in transaction.cursor.execute(statement, values)
        ]
    return found
