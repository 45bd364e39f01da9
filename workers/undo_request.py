"""Takes a requested undo in: finds what it would take back, refuses what cannot be, and records it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from action_ledger.domain import batch, undo
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import (
    AlreadyUndone,
    ExecutionNotEnded,
    ExecutionNotFound,
    NothingToUndo,
    NotReversible,
    UndoExpired,
    UndoInProgress,
)
from action_ledger.domain.event import Event
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.undo import Undo, UndoStatus
from action_ledger.projections import tracing
from action_ledger.projections.store import Transaction

from .actors import metadata_of
from .bodies import read_body, save_body
from .catalog import read_table
from .claim import SQL as QUEUE
from .compile import Request, check_key
from .context import assume, require_policies, require_same
from .cutter import Cutter
from .effect_undo import EffectUndo, why_irreversible
from .keys import key_texts
from .sources import SQL, Source, find_sources, write_as_planned
from .steps import reached
from .table import Table
from .undo_body import UndoBody
from .undo_columns import check_columns, refuse_columns
from .undo_lock import lock_for_undo
from .undo_scope import Conflicts, UndoScope


class Plan(NamedTuple):
    """What an undo would take back: by batch, what was done last first, the version looked at and the records."""

    execution: dict[str, Any]
    table: Table
    digest: str
    """Of what was asked for."""
    versions: dict[UUID, int]
    counts: dict[UUID, int]
    serial: bool = False
    effect: bool = False
    locked: Sequence[Event] = ()
    """The event that locks its records."""
    conflicts: Callable[[], Conflicts] | None = None
    """Counts what somebody changed since, of all of it."""


class UndoRequest:
    """One command, on its way into the ledger."""

    def __init__(
        self,
        transaction: Transaction,
        command: RequestUndo,
        new_id: Callable[[], UUID],
        *,
        rolls_back: bool = False,
    ) -> None:
        """``rolls_back`` says that it is the execution's own policy for failures that asks."""
        self._rolls_back = rolls_back
        self._transaction = transaction
        self._command = command
        self._new_id = new_id

    def accept(self) -> None:
        """Record it and plan a compensation for each batch. Raises the refusal; then nothing is written."""
        command = self._command
        execution = self._undoable()
        self._transaction.cover(
            tracing.undo(
                execution["action"],
                queue=command.queue,
                undo_id=command.command_id,
                undo_of=command.execution_id,
                policy=command.policy,
                traceparent=execution["traceparent"],
            )
        )
        reached("undo.begun")
        plan = self._plan(execution)
        reached("undo.before_append")
        self._transaction.lock()
        self._transaction.append(*self._events(plan), *plan.locked)
        reached("undo.before_commit")

    def plan(self) -> Plan:
        """Find what it would take back, and refuse what cannot be. Raises the refusal.

        Nothing is locked by it: the turn at the locks of the table is given back, so that nobody waits for a preview.
        """
        return self._plan(self._undoable(), looks=True)

    def _plan(self, execution: dict[str, Any], *, looks: bool = False) -> Plan:
        transaction, command = self._transaction, self._command
        request = Request.model_validate(read_body(transaction, command.execution_id))
        if not self._rolls_back:
            require_same(command.context, request.context, subject=command.execution_id)
        assume(transaction, request.context)
        table = read_table(transaction.cursor, execution["table_name"])
        require_policies(transaction, table, request.context)
        check_key(table, request)
        self._metadata = metadata_of(transaction, command).model_copy(
            update={"correlation_id": execution["correlation_id"]}
        )
        # Before the lock, which goes by the batches that it says.
        digest = self._save_body()
        chosen = self._keep_keys(table)
        if request.effect:
            refuse_columns(command, "what it did outside of the database has none")
            found = EffectUndo(transaction, command, table, chosen).found()
            return Plan(execution, table, digest, *found, effect=True)
        sources = find_sources(
            transaction,
            execution_id=command.execution_id,
            of_undo=command.of_undo,
            numbers=command.batches,
        )
        if not sources:
            raise self._nothing()
        check_columns(command, table, sources)
        scope = UndoScope(transaction, command, table, chosen)
        counts = scope.count(sources)
        if not counts:
            if chosen is not None and not scope.ever_held(sources):
                raise self._nothing()
            raise AlreadyUndone(execution_id=command.execution_id, of_undo=command.of_undo)
        # A rollback is within the execution's own lock.
        locked: list[Event] = []
        if not self._rolls_back:
            with (
                transaction.connection.transaction(force_rollback=True) if looks else nullcontext()
            ):
                locked = lock_for_undo(
                    *(transaction, table, command, chosen),
                    reference=execution["table_name"],
                    records=sum(counts.values()),
                    metadata=self._metadata,
                )
        versions = {source.batch_id: source.version for source in sources}
        serial = self._is_serial(table, sources)
        return Plan(
            *(execution, table, digest, versions, counts),
            serial=serial,
            locked=locked,
            conflicts=partial(scope.conflicts, sources),
        )

    def _save_body(self) -> str:
        command = self._command
        body = UndoBody(
            reason=command.reason,
            batches=command.batches,
            by_keys=command.keys is not None,
            columns=command.columns,
            fingerprint=command.fingerprint,
        )
        return save_body(self._transaction, command.command_id, body)

    def _nothing(self) -> NothingToUndo:
        command = self._command
        whose = "it" if command.of_undo is None else f"undo {command.of_undo}"
        reason = f"{whose} changed no record"
        if command.keys is not None:
            reason = f"{whose} changed none of the records that were named"
        elif command.batches is not None:
            numbers = ", ".join(map(str, command.batches)) or "none"
            reason = f"{whose} changed nothing in the batches that were named ({numbers})"
        return NothingToUndo(execution_id=command.execution_id, reason=reason)

    def _undoable(self) -> dict[str, Any]:
        execution_id = self._command.execution_id
        execution = self._transaction.execute(
            QUEUE["execution"], {"execution_id": execution_id}
        ).fetchone()
        if execution is None:
            raise ExecutionNotFound(execution_id=execution_id)
        if execution["undo_seconds"] is None:
            raise NotReversible(
                execution_id=execution_id, reason=why_irreversible(self._transaction, execution_id)
            )
        status = ExecutionStatus(execution["status"])
        if not status.ended and not (self._rolls_back and status.closed):
            raise ExecutionNotEnded(execution_id=execution_id, status=status)
        if self._rolls_back:
            return execution
        self._require_end_of_undo()
        window = self._transaction.execute(SQL["expiry"], {"execution_id": execution_id}).fetchone()
        if window is not None and window["expired"]:
            raise UndoExpired(execution_id=execution_id, expired_at=window["expires_at"])
        return execution

    def _require_end_of_undo(self) -> None:
        """Refuse the redo of an undo that is at work: the two would work against each other."""
        if self._command.of_undo is None:
            return
        id_ = {"undo_id": self._command.of_undo}
        row = self._transaction.execute(QUEUE["undo"], id_).fetchone()
        if row is not None and not UndoStatus(row["status"]).ended:
            raise UndoInProgress(execution_id=self._command.execution_id)

    def _keep_keys(self, table: Table) -> UUID | None:
        """Keep the keys that were asked for as a key set of the undo's own."""
        keys, undo_id = self._command.keys, self._command.command_id
        if keys is None:
            return None
        rows = [key_texts(table, key) for key in keys]
        cutter = Cutter(self._transaction, table, undo_id, max(1, len(rows)))
        if rows:
            cutter.listed(list(zip(*rows, strict=True)), owner=undo_id)
            write_as_planned(
                self._transaction, table, execution_id=self._command.execution_id, chosen=undo_id
            )
        return undo_id

    def _is_serial(self, table: Table, sources: Sequence[Source]) -> bool:
        """Rows that refer to each other, or may not be the same, must come back in the order in which they went."""
        if any(source.child_table is not None for source in sources):
            return True
        if all(source.kind == "update" for source in sources):
            acted = {name for source in sources for name in source.acted}
            written = [column for column in table.columns if column.name in acted]
            names = [column.name for column in (*written, *table.computed_from(written))]
            return self._asks("is_unique", oid=table.oid, names=names)
        return self._asks("is_self_referencing", oid=table.oid)

    def _asks(self, block: str, **values: object) -> bool:
        row = self._transaction.cursor.execute(SQL[block].format(), values).fetchone()
        return bool(row and row["yes"])

    def _events(self, plan: Plan) -> list[Event]:
        """Make the events, from versions read after the append lock."""
        command, metadata, counts = self._command, self._metadata, plan.counts
        order = {batch_id: ordinal for ordinal, batch_id in enumerate(counts, 1)}
        rows = self._transaction.execute(
            QUEUE["batches"], {"execution_id": command.execution_id}
        ).fetchall()
        events: list[Event] = [
            Undo.new(command.command_id).trigger(
                undo.Requested,
                metadata,
                execution_id=command.execution_id,
                of_undo=command.of_undo,
                policy=command.policy,
                batches=len(counts),
                records=sum(counts.values()),
                body_digest=plan.digest,
                queue=command.queue,
                priority=command.priority,
                columns=command.columns,
                notify=command.notify,
            )
        ]
        for row in rows:
            if row["batch_id"] not in counts:
                continue
            current = Batch(row["batch_id"], row["version"], BatchStatus(row["status"]))
            if (
                not current.allows(batch.CompensationPlanned)
                or current.version != plan.versions[current.id]
            ):
                raise UndoInProgress(execution_id=command.execution_id)
            events.append(
                current.trigger(
                    batch.CompensationPlanned,
                    metadata,
                    execution_id=command.execution_id,
                    undo_id=command.command_id,
                    compensation_id=self._new_id(),
                    number=row["number"],
                    records=counts[row["batch_id"]],
                    ordinal=order[row["batch_id"]],
                    serial=plan.serial,
                )
            )
        return events
