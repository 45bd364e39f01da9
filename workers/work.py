"""What a worker does with a unit: plan, apply a batch, or take one back; then append and settle."""

import time

from psycopg import Error

from action_ledger.domain.actions import Actions, ExportAction
from action_ledger.domain.batch import Batch, BatchStatus, Compensated, Completed
from action_ledger.domain.effects import Effect
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.projections import tracing
from action_ledger.projections.store import Store, Transaction

from .applier import apply_batch
from .bodies import read_body
from .catalog import read_for_change
from .change import Change
from .claim import Unit, holds
from .close import ExecutionClosed, require_open
from .compensator import compensate_batch
from .compile import (
    Compiled,
    Request,
    check_key,
    compile_request,
)
from .context import assume, require_policies
from .effect_lease import EffectLeases
from .effect_unit import EffectUnit
from .export_part import export_batch
from .export_unit import write_export
from .faults import split_reason
from .meter import count_records
from .pace import SQL as PACE
from .pace import keep_pace, sizing_of
from .plan_unit import plan_unit
from .settle import settle
from .split import Retry, SplitInstead, batch_of, split_batch
from .steps import reached
from .undo_body import UndoBody
from .write import Owner

FIRST_PAUSE = 0.05
"""Seconds, at most, for which the halves of a whole batch are put off after a fault; twice as long for their own."""
LONGEST_PAUSE = 1.0
TRIED_AGAIN = frozenset({SplitInstead.__qualname__, ExecutionClosed.__qualname__})
"""What is no failure of an attempt at a batch."""


class Workbench:
    """Does units in the caller's transaction, which holds the unit's row lock.

    ``sizes`` are those of batches where the execution asks for none. ``unheld`` says that nothing can hold an
    execution back in this process.
    """

    def __init__(
        self,
        store: Store,
        actions: Actions,
        worker: str,
        *,
        sizes: Adaptive,
        unheld: bool,
        lease_seconds: float,
    ) -> None:
        self._store = store
        self._actions = actions
        self._worker = worker
        self._sizes = sizes
        self._unheld = unheld
        self._lease_seconds = lease_seconds
        self._leases = EffectLeases(store, actions, worker=worker, seconds=lease_seconds)

    def do(self, transaction: Transaction, unit: Unit) -> EffectUnit | None:
        """Do one unit and record it. Raises SplitInstead where smaller batches may do better.

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
            span = transaction.cover(
                tracing.plan(
                    unit.action,
                    queue=unit.queue,
                    execution_id=unit.execution_id,
                    traceparent=unit.traceparent,
                )
            )
            cut = self._plan(transaction, unit)
            tracing.planned(span, keys=sum(cut), batches=len(cut))
            return
        transaction.cover(
            tracing.process(
                unit.action,
                queue=unit.queue,
                execution_id=unit.execution_id,
                traceparent=unit.traceparent,
                records=unit.records,
                number=unit.number or 0,
                attempt=unit.attempt,
                function=f"{__name__}.Workbench.do",
                retries=TRIED_AGAIN,
            )
        )
        if unit.kind == "export":
            action = self._actions.get(unit.action)
            seconds = self._lease_seconds
            write_export(transaction, unit, action, worker=self._worker, lease_seconds=seconds)
        elif unit.undo_id is None:
            self._do_batch(transaction, unit)
        else:
            self._record(transaction, unit, self._compensate(transaction, unit))

    def split_in_two(
        self, transaction: Transaction, unit: Unit, fault: SplitInstead, *, error: str
    ) -> None:
        """Split a batch that met a fault, unless somebody else has brought it to its end meanwhile."""
        if not holds(transaction, unit):
            return
        halvings = max(1.0, unit.batch_size / unit.records)
        retry = Retry(
            error=error,
            error_type=tracing.error_type(fault.cause),
            longest=min(LONGEST_PAUSE, FIRST_PAUSE * halvings),
        )
        half = -(-unit.records // 2)
        split_batch(transaction, unit, size=half, reason=fault.reason, retry=retry)

    def _do_batch(self, transaction: Transaction, unit: Unit) -> None:
        compiled, request = self._compile(transaction, unit)
        sizing = sizing_of(unit, asked=request.adaptive, default=self._sizes)
        exporting = isinstance(self._actions.get(unit.action), ExportAction)
        divisible = not compiled.change.moves_keys and not exporting
        too_large = sizing.oversize(unit.records)
        if divisible and too_large is not None:
            split_batch(transaction, unit, size=too_large.size, reason=too_large.reason)
            return
        started = time.monotonic()
        try:
            completed = (
                export_batch(transaction, unit, compiled.change, worker=self._worker)
                if exporting
                else self._apply(transaction, unit, compiled.change, divisible=divisible)
            )
        except Error as error:
            reason = split_reason(error, ordered=unit.attempt > 1)
            if reason is None or not divisible or unit.records == 1:
                raise
            raise SplitInstead(reason, error) from error
        seconds = time.monotonic() - started
        if not self._record(transaction, unit, completed):
            keep_pace(transaction, unit, sizing, seconds=seconds, unheld=self._unheld)

    def _record(self, transaction: Transaction, unit: Unit, event: Completed | Compensated) -> bool:
        """Append what came of a unit; say whether its job has come to its end."""
        reached(f"{unit.kind}.applied")
        if unit.undo_id is None:
            require_open(transaction, unit.execution_id)
        transaction.append(event)
        count_records(transaction, unit, event.tally)
        reached(f"{unit.kind}.appended")
        return settle(
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

    def _apply(
        self, transaction: Transaction, unit: Unit, change: Change, *, divisible: bool
    ) -> Completed:
        batch_id, version = batch_of(unit)
        if divisible and unit.attempt > 1:
            transaction.execute(PACE["end_waits_early"])
        return apply_batch(
            transaction,
            change,
            Batch(batch_id, version, BatchStatus.PLANNED),
            execution_id=unit.execution_id,
            number=unit.number or 0,
            records=unit.records,
            attempt=unit.attempt,
            worker=self._worker,
            metadata=unit.metadata,
            divisible=divisible,
        )

    def _compensate(self, transaction: Transaction, unit: Unit) -> Compensated:
        batch_id, version = batch_of(unit)
        body = UndoBody.model_validate(read_body(transaction, unit.job_id))
        owner = Owner(
            id=unit.unit_id,
            batch_id=batch_id,
            execution_id=unit.execution_id,
            undo_id=unit.undo_id,
            batch_version=version + 1,
            direction="undo",
        )
        request = Request.model_validate(read_body(transaction, unit.execution_id))
        assume(transaction, request.context)
        table = read_for_change(transaction, unit.table_name)
        require_policies(transaction, table, request.context)
        check_key(table, request)
        return compensate_batch(
            transaction,
            table,
            Batch(batch_id, version, BatchStatus.COMPENSATING),
            owner=owner,
            number=unit.number or 0,
            of_undo=unit.of_undo,
            policy=ConflictPolicy(unit.policy or ConflictPolicy.SKIP),
            chosen=unit.undo_id if body.by_keys else None,
            columns=body.columns,
            attempt=unit.attempt,
            worker=self._worker,
            metadata=unit.metadata,
        )

    def _plan(self, transaction: Transaction, unit: Unit) -> list[int]:
        """Plan the whole, or the next pages; give the number of records of each batch that was cut."""
        compiled, request = self._compile(transaction, unit)
        action = self._actions.get(unit.action)
        return plan_unit(
            *(transaction, unit, compiled, request),
            export=action if isinstance(action, ExportAction) else None,
            sizes=self._sizes,
            worker=self._worker,
        )
