"""Steers executions that are under way: pause, resume, cancel and retune, each one event on the execution's stream.

A command changes the execution's own row, which every claim reads: nobody is asked, so nobody has to answer.
"""

from typing import Any, assert_never

from pydantic import BaseModel, ConfigDict

from action_ledger.domain import execution, record_lock
from action_ledger.domain.commands import (
    AnySteering,
    BreakLock,
    CancelExecution,
    PauseExecution,
    ResumeExecution,
    RetuneExecution,
)
from action_ledger.domain.errors import ExecutionEnded, ExecutionNotFound, LockNotHeld
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.execution import Execution, ExecutionStatus
from action_ledger.domain.record_lock import RecordLockStatus
from action_ledger.projections.store import Transaction

from .actors import metadata_of
from .admission import refuse_pace
from .bodies import read_body, save_body
from .close import SQL, close_units, tally_of
from .lock_ends import BROKEN, lock_in, released
from .meter import measure_execution
from .pace import forget_pace, retune_pace
from .steps import reached


class SteeringBody(BaseModel):
    """What a steering command said that its event must not hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str | None
    fingerprint: str
    """Of the command: when it is sent again, it must be the same."""


def steer(transaction: Transaction, command: AnySteering) -> None:
    """Record it. One that changes nothing (a pause of what is paused) is taken in and leaves no event.

    Raises ExecutionNotFound, and ExecutionEnded where nothing is left to be steered; then nothing is written.
    """
    save_body(
        transaction,
        command.command_id,
        SteeringBody(reason=command.reason, fingerprint=command.fingerprint),
    )
    if isinstance(command, RetuneExecution):
        stored: Any = read_body(transaction, command.execution_id)
        if stored and stored.get("effect"):
            refuse_pace(stored["action"], rate=command.rate, concurrency=command.concurrency)
    metadata = metadata_of(transaction, command)
    reached("steer.kept")
    transaction.lock()
    row = transaction.execute(SQL["execution"], {"execution_id": command.execution_id}).fetchone()
    if row is None:
        raise ExecutionNotFound(execution_id=command.execution_id)
    current = Execution(command.execution_id, row["version"], ExecutionStatus(row["status"]))
    if command.correlation_id is None:
        metadata = metadata.model_copy(update={"correlation_id": row["correlation_id"]})
    event = _event(current, command, row, metadata)
    if event is None:
        return
    end = current.mutate(event)
    reached("steer.before_append")
    recorded, *_ = transaction.append(event, *_lock_end(transaction, command, row, metadata, end))
    reached("steer.appended")
    if isinstance(event, execution.Retuned) and event.rate != row["rate"]:
        retune_pace(transaction, current.id, old=row["rate"], new=event.rate)
    if end.ended:
        measure_execution(transaction, row, end.status, recorded.recorded_at)
        forget_pace(transaction, current.id)
        close_units(transaction, end, metadata)
    reached("steer.before_commit")


def _lock_end(
    transaction: Transaction,
    command: AnySteering,
    row: dict[str, Any],
    metadata: Metadata,
    current: Execution,
) -> list[Event]:
    if not current.ended:
        return []
    if not isinstance(command, BreakLock):
        return released(transaction, row, metadata)
    lock = lock_in(row, current.id)
    if lock is None or lock.status is not RecordLockStatus.HELD:
        raise LockNotHeld(execution_id=current.id, status=row["status"])
    reached("lock.broken")
    return [lock.trigger(record_lock.Broken, metadata, execution_id=current.id)]


def _event(
    current: Execution, command: AnySteering, row: dict[str, Any], metadata: Metadata
) -> Event | None:
    if current.closed:
        if isinstance(command, CancelExecution) and current.status is ExecutionStatus.CANCELLED:
            return None
        raise ExecutionEnded(execution_id=current.id, status=str(current.status))
    match command:
        case PauseExecution():
            paused = current.status is ExecutionStatus.PAUSED
            return None if paused else current.trigger(execution.Paused, metadata)
        case ResumeExecution():
            paused = current.status is ExecutionStatus.PAUSED
            return current.trigger(execution.Resumed, metadata) if paused else None
        case CancelExecution():
            return current.trigger(execution.Cancelled, metadata, tally=tally_of(row))
        case BreakLock():
            return current.trigger(execution.Failed, metadata, error=BROKEN, tally=tally_of(row))
        case RetuneExecution():
            before = {name: row[name] for name in ("rate", "concurrency", "priority")}
            after = {name: _retuned(getattr(command, name), old) for name, old in before.items()}
            return (
                None if after == before else current.trigger(execution.Retuned, metadata, **after)
            )
        case _:
            assert_never(command)


def _retuned(wanted: object, old: object) -> object:
    return old if wanted is None else None if wanted == "unlimited" else wanted
