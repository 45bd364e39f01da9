"""Takes a requested execution in: checks it, records it, and does as much of it as fits this transaction."""

import time
from collections.abc import Iterable
from uuid import UUID

from action_ledger.domain import batch, execution
from action_ledger.domain.actions import Actions, ExportAction
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.confirmation import NO_CONFIRMATION, ConfirmationPolicy
from action_ledger.domain.effects import Effect
from action_ledger.domain.event import Event, Tally
from action_ledger.domain.execution import Execution, ExecutionStatus
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.policy import EVERYTHING_GOES, Policy
from action_ledger.domain.record_lock import OnLocked, on_locked_by
from action_ledger.domain.selection import Keys, KeyValue
from action_ledger.projections import tracing
from action_ledger.projections.store import Transaction

from .actors import metadata_of
from .applier import apply_batch
from .at_once import Look, is_small
from .bodies import save_body
from .change import Change
from .compile import Compiled, check_key, compile_request
from .confirm import Confirming
from .cutter import Cut, Cutter, KeptKeys
from .export_plan import export_requested, plan_export
from .limits import check_records, require_room
from .locks import Decision, acquired, claim_of, decide, refuse_locked
from .meter import count_request
from .planner import batch_events, cut_selection, planned_event, whole_size
from .request_body import body_of
from .retried import require_first
from .settle import end_of_execution
from .steps import reached
from .table import reference_of
from .terms import terms_of


class ExecutionRequest:
    """One command, on its way into the ledger."""

    def __init__(
        self,
        transaction: Transaction,
        actions: Actions,
        command: RequestExecution,
        worker: str,
        *,
        sizes: Adaptive | None = None,
        causation_id: UUID | None = None,
        policy: Policy = EVERYTHING_GOES,
        confirmation: ConfirmationPolicy = NO_CONFIRMATION,
    ) -> None:
        """``sizes`` are those of batches where the command asks for none; needed where one may be applied.

        ``causation_id`` names what led to it, where that is not the command itself. ``policy`` has the limits, and
        ``confirmation`` says whether it has to be confirmed.
        """
        self._confirmation = confirmation
        self._sizes = sizes
        self._limits = policy.limits
        self._contexts = policy.contexts
        self._most = policy.limits.records(command.action)
        self._transaction = transaction
        self._actions = actions
        self._command = command
        self._worker = worker
        self._effect = False
        self._export: ExportAction | None = None
        self._causation_id = causation_id

    def accept(
        self,
        *,
        now: bool,
        streamed: Iterable[KeyValue] | None = None,
        kept: KeptKeys | None = None,
        at_once: bool = True,
    ) -> bool:
        """Record it; say whether anything of it is still to be done.

        With ``now``, plan it too, and ``at_once`` apply it as well when it fits one batch. Keys are always planned
        here, since they exist nowhere else, and so are those that were ``kept``. Everything is in the caller's
        transaction, with one append, so a command that is wrong in any way leaves nothing.
        """
        started = time.monotonic()
        self._contexts.require(self._command.context)
        require_room(self._transaction, self._command, self._limits)
        self._metadata = metadata_of(
            self._transaction, self._command, causation_id=self._causation_id
        )
        body = body_of(self._command).model_copy(update={"max_records": self._most})
        compiled = compile_request(self._transaction, self._actions, body)
        self._command = command = terms_of(
            self._transaction, self._actions, self._command, compiled
        )
        self._look = Look(self._transaction, self._actions, compiled)
        if not (now and at_once and kept is None and self._look.may_wait(command)):
            self._look.take()
        table = compiled.change.table
        action = self._actions.get(command.action)
        self._effect = isinstance(action, Effect)
        self._export = action if isinstance(action, ExportAction) else None
        confirming = Confirming(self._transaction, self._confirmation, command)
        if confirming.begin(action, self._actions) or self._most is not None:
            # Nothing is written before the total is known.
            self._command = command = command.model_copy(update={"planning": "gated"})
        keyed = compiled.request.model_copy(
            update={
                "preview_id": confirming.preview_id,
                "key": tuple(column.name for column in table.key),
                "effect": self._effect,
                "reversibility": action.reversibility,
                "kept": kept is not None,
            }
        )
        requested = self._requested(
            save_body(self._transaction, command.command_id, keyed),
            reference_of(table),
            confirming.preview_id,
        )
        events: list[Event] = [*confirming.used(self._metadata), requested]
        if self._export:
            events.append(export_requested(command, self._metadata))
        if kept is not None:
            check_key(table, body.model_copy(update={"key": kept.key}))
        if (
            kept is not None
            or isinstance(command.selection, Keys)
            or (now and command.planning == "gated")
            or confirming.plans_now
        ):
            cutter = self._cutter(compiled)
            cuts = self._cut(cutter, compiled, streamed, kept)
            confirming.check_plan(command, table, cuts)
            events += self._planned(cutter, cuts, compiled, requested, at_once=now and at_once)
        else:
            confirming.check_size(compiled.select)
        reached("request.before_append")
        self._transaction.append(*events)
        count_request(self._transaction, command, events, started=started)
        reached("request.before_commit")
        return not isinstance(events[-1], execution.Completed | execution.Failed)

    def _cutter(self, compiled: Compiled) -> Cutter:
        command = self._command
        size = whole_size(compiled.select, command.batch_size, command.adaptive)
        return Cutter(self._transaction, compiled.change.table, command.command_id, size)

    def _cut(
        self,
        cutter: Cutter,
        compiled: Compiled,
        streamed: Iterable[KeyValue] | None,
        kept: KeptKeys | None,
    ) -> list[Cut]:
        command = self._command
        with tracing.plan(
            command.action,
            queue=command.queue,
            execution_id=command.command_id,
            traceparent=self._metadata.traceparent,
        ) as span:
            cuts = (
                cut_selection(cutter, compiled.select, command.selection, streamed)
                if kept is None
                else cutter.copied(kept.owner)
            )
            tracing.planned(span, keys=sum(cut.records for cut in cuts), batches=len(cuts))
        check_records(cuts, action=command.action, most=self._most)
        if self._export:
            plan_export(
                self._transaction, self._export, compiled.change.table, command.command_id, cuts
            )
        return cuts

    def _requested(self, digest: str, table: str, preview_id: UUID | None) -> execution.Requested:
        command = self._command
        return Execution.new(command.command_id).trigger(
            execution.Requested,
            self._metadata,
            action=command.action,
            table=table,
            selection=command.selection.kind,
            body_digest=digest,
            batch_size=command.batch_size,
            planning=command.planning,
            frozen=command.frozen,
            undo_seconds=command.undo_seconds,
            queue=command.queue,
            priority=command.priority,
            on_failure=command.on_failure,
            max_failures=command.max_failures,
            max_failure_ratio=command.max_failure_ratio,
            rate=command.rate,
            concurrency=command.concurrency,
            retry_of=command.retry_of,
            notify=command.notify,
            preview_id=preview_id,
            after_complete=self._actions.get(command.action).after_complete is not None,
        )

    def _planned(
        self,
        cutter: Cutter,
        cuts: list[Cut],
        compiled: Compiled,
        requested: execution.Requested,
        *,
        at_once: bool,
    ) -> list[Event]:
        metadata, transaction = self._metadata, self._transaction
        policy = self._command.on_locked or on_locked_by(self._command.planning)
        planning = Execution(requested.originator_id, 1, ExecutionStatus.REQUESTED)
        table, change = compiled.change.table, compiled.change
        claim = claim_of(transaction, table, requested.table, planning.id, fresh=True)
        # Rows come before the table's turn, which a batch in foreign hands would otherwise hold up for others.
        small = (
            at_once
            and policy is OnLocked.FAIL
            and not (self._effect or self._export)
            and is_small(self._command, cuts, change, self._sizes)
        )
        if not small:
            self._look.take()
        decision = (
            Decision(cuts, [], [])
            if small or self._export
            else decide(
                *(transaction, claim, cutter, cuts),
                policy=policy,
                worker=self._worker,
                metadata=metadata,
            )
        )
        if decision.waits:
            return decision.before
        cuts = decision.cuts
        planned = planned_event(planning, [(cut.records, cut.digest) for cut in cuts], metadata)
        running = planning.mutate(planned)
        events: list[Event] = [
            *decision.before,
            *batch_events(cuts, execution_id=running.id, table=requested.table, metadata=metadata),
            *decision.after,
            planned,
        ]
        if self._export:
            return events  # the file comes last, and may be one without records
        if all(cut.locked for cut in cuts):
            tally = Tally(skipped=sum(cut.records for cut in cuts))
            events.append(running.trigger(execution.Completed, metadata, tally=tally))
        elif small:
            events += self._applied(cuts[0], change, running)
            refuse_locked(transaction, claim)
            if isinstance(events[-1], execution.RollbackStarted):
                events += acquired(claim, cuts[0].records, metadata)
        require_first(transaction, self._command.selection, but=planning.id)
        return events

    def _applied(self, cut: Cut, change: Change, running: Execution) -> list[Event]:
        with (
            tracing.process(
                self._command.action,
                queue=self._command.queue,
                execution_id=running.id,
                traceparent=self._metadata.traceparent,
                records=cut.records,
                number=cut.number,
                attempt=1,
                function=f"{__name__}.apply_batch",
            ),
            self._look.trying(),
        ):
            completed: batch.Completed = apply_batch(
                self._transaction,
                change,
                Batch(cut.owner, 1, BatchStatus.PLANNED),
                execution_id=running.id,
                number=cut.number,
                records=cut.records,
                attempt=1,
                worker=self._worker,
                metadata=self._metadata,
            )
        tally = completed.tally
        if tally.applied < cut.records:
            self._look.take()
        told = {"total": tally.processed, "total_final": True, "exporting": False}
        row = {**tally.model_dump(), **told, "batches": 1, "batches_done": 1}
        policy = self._command.model_dump(
            include={"on_failure", "max_failures", "max_failure_ratio"}
        )
        end = end_of_execution(running, {**row, **policy}, self._metadata, error=None)
        return [completed, *([end] if end else [])]
