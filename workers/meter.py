"""What is counted of units and executions, each once the transaction that did it has committed."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from action_ledger.domain import batch, execution
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.event import Event, Tally
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.projections import metrics, names
from action_ledger.projections.store import Transaction

from .claim import Unit


def count_attempt(unit: Unit, seconds: float, *, error_type: str | None = None) -> None:
    """Measure an attempt at a unit that has ended; nothing is committed by one that failed."""
    metrics.attempted(
        names.PLAN if unit.kind == "plan" else names.PROCESS,
        unit.action,
        queue=unit.queue,
        seconds=seconds,
        error_type=error_type,
    )


def count_records(transaction: Transaction, unit: Unit, tally: Tally, *, done: bool = True) -> None:
    """Count the records of a unit's end."""
    kind = "batch" if unit.undo_id is None else "compensation"
    _count_end(transaction, unit.action, tally, kind=kind, done=done)


def count_request(
    transaction: Transaction, command: RequestExecution, events: Sequence[Event], *, started: float
) -> None:
    """Count what a request did at once, with no worker; ``started`` is of ``time.monotonic``."""

    def measure_attempt() -> None:
        seconds = time.monotonic() - started
        metrics.attempted(names.PROCESS, command.action, queue=command.queue, seconds=seconds)

    for event in events:
        match event:
            case batch.Completed():
                _count_end(transaction, command.action, event.tally, kind="batch", done=True)
                transaction.after_commit(measure_attempt)
            case execution.Completed():
                _measure_end(transaction, command.action, ExecutionStatus.COMPLETED, started)
            case execution.Failed():
                _measure_end(transaction, command.action, ExecutionStatus.FAILED, started)
            case _:
                pass


def _measure_end(
    transaction: Transaction, action: str, status: ExecutionStatus, started: float
) -> None:
    transaction.after_commit(
        lambda: metrics.executed(action, status=status, seconds=time.monotonic() - started)
    )


def _count_end(
    transaction: Transaction, action: str, tally: Tally, *, kind: str, done: bool
) -> None:
    outcomes = {"applied": tally.applied, "failed": tally.failed, "skipped": tally.skipped}
    transaction.after_commit(lambda: metrics.ended(action, kind=kind, outcomes=outcomes, done=done))


def count_retry(transaction: Transaction, error_type: str) -> None:
    """Count that a unit was put off or split after a fault."""
    transaction.after_commit(lambda: metrics.retried(error_type))


def count_split(transaction: Transaction, reason: str) -> None:
    """Count a split."""
    transaction.after_commit(lambda: metrics.split(reason))


def measure_execution(
    transaction: Transaction,
    row: Mapping[str, Any],
    status: ExecutionStatus | None,
    ended_at: datetime,
) -> None:
    """Measure an execution that has ended, from its row in the view, if this is an end."""
    if status is None or not status.ended:
        return
    seconds = (ended_at - row["requested_at"]).total_seconds()
    transaction.after_commit(
        lambda: metrics.executed(row["action"], status=status, seconds=seconds)
    )
