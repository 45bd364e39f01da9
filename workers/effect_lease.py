"""Takes the lease of a unit with an effect, in the transaction that has claimed it."""

from dataclasses import replace
from uuid import UUID

from action_ledger.domain import batch
from action_ledger.domain.actions import Actions
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.effects import Effect
from action_ledger.domain.errors import EffectAbandoned
from action_ledger.domain.event import Event
from action_ledger.projections.store import Store, Transaction

from .bodies import read_body
from .catalog import read_table
from .change import Change
from .claim import Unit
from .close import require_running
from .compile import Request, check_key, compile_request
from .effect_calls import compensate_of
from .effect_pages import Pages
from .effect_unit import CHUNK, EffectUnit
from .lease import SQL, Lease
from .lease_signals import lease_expired
from .record_columns import columns_for
from .table import Table
from .undo_body import UndoBody

MOST_FRUITLESS = 5
"""So many leases in a row may end without a record done: then it is the handler that kills its workers."""


class EffectLeases:
    """Takes leases for one worker."""

    def __init__(self, store: Store, actions: Actions, *, worker: str, seconds: float) -> None:
        self._store = store
        self._actions = actions
        self._worker = worker
        self._seconds = seconds

    def take(self, transaction: Transaction, unit: Unit, effect: Effect) -> EffectUnit:
        """Take it, and give what is to be done once the transaction has committed.

        Raises ExecutionClosed, ExecutionHeld, and what is wrong with the table or the parameters.
        """
        if unit.leased_by is not None:
            lease_expired(transaction, unit)
        batch_id, version, epoch = _batch_of(unit)
        leased = replace(unit, epoch=epoch)
        lease = Lease(
            self._store,
            leased,
            epoch=epoch,
            worker=self._worker,
            seconds=self._seconds,
            patience=effect.timeout + self._seconds,
        )
        extent, fruitless = _extent(transaction, leased)
        request = Request.model_validate(read_body(transaction, unit.execution_id))
        table, change, chosen = self._reading(transaction, unit, request, effect)
        pages = Pages(
            transaction,
            table,
            columns_for(table, effect.columns),
            owner=unit.unit_id,
            batch_id=batch_id,
            change=change,
            chosen=chosen,
            context=request.context,
        )
        event = self._started(leased, Batch(batch_id, version, _status_of(unit)))
        if unit.undo_id is None:
            require_running(transaction, unit.execution_id)
        transaction.append(event)
        lease.take(transaction)
        return EffectUnit(
            self._store,
            leased,
            lease=lease,
            effect=effect,
            parameters=self._actions.validate(request.action, request.parameters),
            pages=pages,
            extent=extent,
            # After a lease that brought nothing, what a deadly record costs the others is kept small.
            chunk=1 if fruitless else CHUNK,
        )

    def _reading(
        self, transaction: Transaction, unit: Unit, request: Request, effect: Effect
    ) -> tuple[Table, Change | None, UUID | None]:
        """Give the table, what its records must still match, and the choice of an undo."""
        if unit.undo_id is None:
            change = compile_request(transaction, self._actions, request).change
            check_key(change.table, request)
            return change.table, change, None
        compensate_of(effect, unit)
        table = read_table(
            transaction.cursor, unit.table_name, ledger_schema=transaction.schema_name
        )
        check_key(table, request)
        body = UndoBody.model_validate(read_body(transaction, unit.undo_id))
        return table, None, unit.undo_id if body.by_keys else None

    def _started(self, unit: Unit, current: Batch) -> Event:
        fields = {
            "execution_id": unit.execution_id,
            "number": unit.number,
            "epoch": unit.epoch,
            "attempt": unit.attempt,
            "worker": self._worker,
        }
        if unit.undo_id is None:
            return current.trigger(batch.Started, unit.metadata, **fields)
        return current.trigger(
            batch.CompensationStarted,
            unit.metadata,
            undo_id=unit.undo_id,
            compensation_id=unit.unit_id,
            **fields,
        )


def _batch_of(unit: Unit) -> tuple[UUID, int, int]:
    """Give the batch, its version, and the epoch of its next lease."""
    if unit.batch_id is None or unit.batch_version is None:
        message = f"unit {unit.unit_id} of kind {unit.kind} has no batch"
        raise AssertionError(message)
    return unit.batch_id, unit.batch_version, (unit.epoch or 0) + 1


def _status_of(unit: Unit) -> BatchStatus:
    if unit.undo_id is not None:
        return BatchStatus.COMPENSATING
    return BatchStatus.STARTED if unit.epoch else BatchStatus.PLANNED


def _extent(transaction: Transaction, unit: Unit) -> tuple[int, int]:
    """Give the last position of the batch's records, and how many leases in a row brought nothing.

    Raises EffectAbandoned when those are too many.
    """
    values = {"batch_id": unit.batch_id, "owner": unit.unit_id}
    row = transaction.execute(SQL["extent"], values).fetchone()
    if row is None or unit.epoch is None:
        message = f"batch {unit.batch_id} has no keys"
        raise AssertionError(message)
    fruitless = min(unit.attempt - 1, unit.epoch - 1 - row["fruitful"])
    if fruitless >= MOST_FRUITLESS:
        raise EffectAbandoned(batch_id=str(unit.batch_id), leases=fruitless)
    return row["records"], fruitless
