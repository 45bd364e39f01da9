"""Sweeps up what dead workers left: units of closed executions, rollbacks not begun, jobs that nobody ended.

Each finding is mended in a transaction of its own, by whichever worker comes first.
"""

import logging
from uuid import UUID

from psycopg.errors import UniqueViolation
from uuid_utils.compat import uuid7

from action_ledger.domain import execution
from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import (
    ActionLedgerError,
    AlreadyUndone,
    ExportFailed,
    NothingToUndo,
    StoreUnavailable,
    UndoInProgress,
)
from action_ledger.domain.event import Metadata
from action_ledger.domain.execution import rollback_id
from action_ledger.projections.store import Store, Transaction

from .close import SQL, close_units, current_execution, tally_of
from .export_sweep import clear_parts
from .faults import passes
from .keeping import PutOff
from .lock_ends import released
from .meter import measure_execution
from .settle import settle
from .steps import reached
from .undo_request import UndoRequest

CANNOT = "execution %s cannot be swept up (%s)"
CANNOT_CLEAR = "execution %s cannot be swept up (%s): %s"

log = logging.getLogger(__name__)


def sweep(store: Store, execution_id: UUID | None = None, *, put_off: PutOff | None = None) -> int:
    """Look once, at one execution or at all; give the number of findings that were mended.

    Of all, one that cannot be mended is logged, and does not keep the others from it; ``put_off`` leaves it alone for
    a while. Of one execution it is raised, but for parts of an export that cannot be removed: its end stands.
    """
    with store.transaction() as transaction:
        found = transaction.execute(SQL["findings"], {"execution_id": execution_id}).fetchall()
    reached("sweep.found")
    waiting = put_off.look() if put_off else frozenset[UUID]()
    mended = 0
    for row in found:
        if row["execution_id"] in waiting:
            continue
        try:
            mended += _mend(store, **row)
            continue
        except ExportFailed as fault:
            log.warning(CANNOT_CLEAR, row["execution_id"], row["finding"], fault.detail)
        except Exception as fault:
            if execution_id is not None or passes(fault):
                raise
            log.exception(CANNOT, row["execution_id"], row["finding"])
        if put_off:
            put_off.again(row["execution_id"])
    return mended


def _mend(store: Store, *, finding: str, execution_id: UUID, undo_id: UUID | None) -> int:
    match finding:
        case "close":
            return _close(store, execution_id)
        case "roll_back":
            return _roll_back(store, execution_id)
        case "clear_parts":
            return clear_parts(store, execution_id)
        case _:
            return _settle(store, execution_id, undo_id)


def _close(store: Store, execution_id: UUID) -> int:
    """Take units off the queue until nobody has left one there."""
    total = 0
    while True:
        with store.transaction() as transaction:
            transaction.lock()
            current = current_execution(transaction, execution_id)
            if current is None or not current.closed:
                return total
            reached("sweep.locked")
            closed = close_units(transaction, current, _metadata(transaction, execution_id))
            reached("sweep.closed")
        total += closed
        if not closed:
            clear_parts(store, execution_id)
            return total


def _roll_back(store: Store, execution_id: UUID) -> int:
    """Ask for the undo of an execution that is being rolled back; when nothing was done, that is its end."""
    with store.transaction() as transaction:
        if transaction.execute(SQL["undo"], {"undo_id": rollback_id(execution_id)}).fetchone():
            return 0
        row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
    if row is None:
        return 0
    command = RequestUndo(
        command_id=rollback_id(execution_id),
        actor=Actor(subject=row["actor"]),
        execution_id=execution_id,
        queue=row["queue"],
        priority=row["priority"],
    )
    reached("rollback.found")
    try:
        with store.transaction() as transaction:
            UndoRequest(transaction, command, uuid7, rolls_back=True).accept()
            reached("rollback.requested")
    except (UniqueViolation, UndoInProgress):
        return 0  # another was faster, or a batch is still in somebody's hands: the next look asks again
    except (NothingToUndo, AlreadyUndone):
        return _end_rollback(store, execution_id, error=None)
    except StoreUnavailable:
        raise  # of the moment: it says nothing of the undo
    except ActionLedgerError as error:
        return _end_rollback(store, execution_id, error=error.code)
    return 1


def _end_rollback(store: Store, execution_id: UUID, *, error: str | None) -> int:
    with store.transaction() as transaction:
        transaction.lock()
        # Another may have asked for the undo since: then its end is the end of the rollback.
        if transaction.execute(SQL["undo"], {"undo_id": rollback_id(execution_id)}).fetchone():
            return 0
        row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
        current = current_execution(transaction, execution_id)
        if row is None or current is None or not current.allows(execution.RolledBack):
            return 0
        metadata = _metadata(transaction, execution_id)
        end = (
            current.trigger(execution.RolledBack, metadata, undo_id=None)
            if error is None
            else current.trigger(execution.Failed, metadata, error=error, tally=tally_of(row))
        )
        reached("rollback.before_end")
        ended, *_ = transaction.append(end, *released(transaction, row, metadata))
        reached("rollback.ended")
        measure_execution(transaction, row, current.mutate(end).status, ended.recorded_at)
    return 1


def _settle(store: Store, execution_id: UUID, undo_id: UUID | None) -> int:
    with store.transaction() as transaction:
        transaction.lock()
        metadata = _metadata(transaction, execution_id)
        reached("sweep.before_settle")
        ended = settle(transaction, execution_id=execution_id, undo_id=undo_id, metadata=metadata)
        reached("sweep.settled")
        return int(ended)


def _metadata(transaction: Transaction, execution_id: UUID) -> Metadata:
    """What an event carries that nobody asked for: the actor and the trace of the execution's request."""
    row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
    if row is None:
        message = f"execution {execution_id} is not in the progress view"
        raise AssertionError(message)
    return Metadata(
        actor=row["actor"],
        correlation_id=row["correlation_id"],
        causation_id=execution_id,
        traceparent=row["traceparent"],
    )
