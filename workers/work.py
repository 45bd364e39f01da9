"""What a worker does with a unit: plan, apply a batch, or take one back; then append and settle."""

from uuid import UUID

from action_ledger.domain.actions import Actions
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.effects import Effect
from action_ledger.domain.event import Event
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.projections import tracing
from action_ledger.projections.store import Store, Transaction

from .applier import apply_batch
from .bodies import read_body
from .claim import Unit
from .close import require_open, require_running
from .compensator import compensate_batch
from .compile import (
    Compiled,
    Request,
    check_key,
    compile_request,
    read_for_change,
)
from .cutter import Cutter
from .effect_lease import EffectLeases
from .effect_unit import EffectUnit
from .planner import PAGES_AT_ONCE, batch_events, cut_selection, planned_event
from .settle import settle
from .steps import reached
from .undo_request import UndoBody
from .write import Owner


class Workbench:
    """Does units in the caller's transaction, which holds the unit's row lock."""

    def __init__(
        self, store: Store, actions: Actions, worker: str, *, lease_seconds: float = 10
    ) -> None:
        self._store = store
        self._actions = actions
        self._worker = worker
        self._leases = EffectLeases(store, actions, worker=worker, seconds=lease_seconds)

    def do(self, transaction: Transaction, unit: Unit) -> EffectUnit | None:
        """Do one unit and record it.

        What is to be done outside of the database is given back instead, under a lease, for when the transaction
        has committed.
        """
        effect = None if unit.kind == "plan" else self._actions.find(unit.action)
        if isinstance(effect, Effect):
            return self._leases.take(transaction, unit, effect)
        self._do(transaction, unit)
        return None

    def _do(self, transaction: Transaction, unit: Unit) -> None:
        if unit.kind == "plan":
            with tracing.plan(
                unit.action,
                queue=unit.queue,
                execution_id=unit.execution_id,
                traceparent=unit.traceparent,
            ) as span:
                cut = self._plan(transaction, unit)
                tracing.planned(span, keys=sum(cut), batches=len(cut))
            return
        with tracing.process(
            unit.action,
            queue=unit.queue,
            execution_id=unit.execution_id,
            traceparent=unit.traceparent,
            records=unit.records,
            number=unit.number or 0,
            attempt=unit.attempt,
            function=f"{__name__}.Workbench.do",
        ):
            event = (
                self._apply(transaction, unit)
                if unit.undo_id is None
                else self._compensate(transaction, unit)
            )
            reached(f"{unit.kind}.applied")
            if unit.undo_id is None:
                require_open(transaction, unit.execution_id)
            transaction.append(event)
            reached(f"{unit.kind}.appended")
            settle(
                transaction,
                execution_id=unit.execution_id,
                undo_id=unit.undo_id,
                metadata=unit.metadata,
            )

    def _compile(self, transaction: Transaction, unit: Unit) -> tuple[Compiled, Request]:
        request = Request.model_validate(read_body(transaction, unit.execution_id))
        compiled = compile_request(transaction, self._actions, request)
        if unit.kind == "batch":
            check_key(compiled.change.table, request)
        return compiled, request

    def _apply(self, transaction: Transaction, unit: Unit) -> Event:
        compiled, _ = self._compile(transaction, unit)
        batch_id, version = _batch_of(unit)
        return apply_batch(
            transaction,
            compiled.change,
            Batch(batch_id, version, BatchStatus.PLANNED),
            execution_id=unit.execution_id,
            number=unit.number or 0,
            records=unit.records,
            attempt=unit.attempt,
            worker=self._worker,
            metadata=unit.metadata,
        )

    def _compensate(self, transaction: Transaction, unit: Unit) -> Event:
        batch_id, version = _batch_of(unit)
        body = UndoBody.model_validate(read_body(transaction, unit.job_id))
        owner = Owner(
            id=unit.unit_id,
            batch_id=batch_id,
            execution_id=unit.execution_id,
            undo_id=unit.undo_id,
            batch_version=version + 1,
            direction="undo",
        )
        table = read_for_change(transaction, unit.table_name)
        check_key(table, Request.model_validate(read_body(transaction, unit.execution_id)))
        return compensate_batch(
            transaction,
            table,
            Batch(batch_id, version, BatchStatus.COMPENSATING),
            owner=owner,
            number=unit.number or 0,
            of_undo=unit.of_undo,
            policy=ConflictPolicy(unit.policy or ConflictPolicy.SKIP),
            chosen=unit.undo_id if body.by_keys else None,
            attempt=unit.attempt,
            worker=self._worker,
            metadata=unit.metadata,
        )

    def _plan(self, transaction: Transaction, unit: Unit) -> list[int]:
        """Plan the whole, or the next pages; give the number of records of each batch that was cut."""
        compiled, request = self._compile(transaction, unit)
        cutter = Cutter(transaction, compiled.change.table, unit.execution_id, unit.batch_size)
        if unit.planning == "gated":
            cuts = cut_selection(cutter, compiled.select, request.selection, None)
            ended = True
        else:
            number, last = cutter.last()
            cuts = cutter.pages(compiled.select, after=last, number=number, count=PAGES_AT_ONCE)
            ended = len(cuts) < PAGES_AT_ONCE
        key_sets = cutter.all() if ended else []
        reached("plan.cut")
        current = require_running(transaction, unit.execution_id)
        events = batch_events(
            cuts, execution_id=unit.execution_id, table=unit.table_name, metadata=unit.metadata
        )
        if ended:
            events.append(planned_event(current, key_sets, unit.metadata))
        if events:
            transaction.append(*events)
        settle(transaction, execution_id=unit.execution_id, undo_id=None, metadata=unit.metadata)
        return [cut.records for cut in cuts]


def _batch_of(unit: Unit) -> tuple[UUID, int]:
    if unit.batch_id is None or unit.batch_version is None:
        message = f"unit {unit.unit_id} of kind {unit.kind} has no batch"
        raise AssertionError(message)
    return unit.batch_id, unit.batch_version
