"""The progress view: executions, their batches and their undos, as they stand now. Runs inline.

For every execution and every undo: applied + failed + skipped + pending = total, in each read, since one row
holds all five.
"""

from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from action_ledger.domain import batch, execution, export, undo
from action_ledger.domain.batch import BatchStatus
from action_ledger.domain.event import Tally
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.undo import UndoStatus

from .projection import Recorded
from .rows import Rows

_NOTHING_YET = {
    "total": 0,
    "applied": 0,
    "failed": 0,
    "skipped": 0,
    "pending": 0,
    "batches": 0,
    "batches_done": 0,
}


class Progress:
    """Counts, states and times; the stream versions too, which the next writer continues from."""

    name: ClassVar[str] = "progress"
    tables: ClassVar[dict[str, str]] = {
        "executions": "execution_id",
        "batches": "batch_id",
        "undos": "undo_id",
    }

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        match recorded.event:
            case batch.BatchEvent():
                _batch(rows, recorded, recorded.event)
            case undo.UndoEvent():
                _undo(rows, recorded, recorded.event)
            case export.ExportEvent():
                _export(rows, recorded, recorded.event)
            case _:
                _execution(rows, recorded)


def _execution(rows: Rows, recorded: Recorded) -> None:  # noqa: C901, PLR0912 - one case an event
    at, event = recorded.recorded_at, recorded.event
    patch = partial(_patch, rows, "executions", recorded)
    # Nothing more is planned after these: the total is what it is.
    planned = partial(patch, total_final=True)
    match event:
        case execution.Requested():
            rows.put("executions", event.originator_id, _execution_row(event, at))
        case execution.Planned():
            planned(status=ExecutionStatus.RUNNING, planned_at=at)
        case execution.PlanningFailed():
            planned(status=ExecutionStatus.RUNNING, planned_at=at, error=event.error)
        case execution.Paused():
            patch(status=ExecutionStatus.PAUSED)
        case execution.Resumed():
            patch(status=ExecutionStatus.RUNNING)
        case execution.Retuned():
            patch(rate=event.rate, concurrency=event.concurrency, priority=event.priority)
        case execution.Completed():
            planned(status=ExecutionStatus.COMPLETED, ended_at=at)
        case execution.Failed():
            planned(status=ExecutionStatus.FAILED, ended_at=at, error=event.error)
        case execution.Cancelled():
            planned(status=ExecutionStatus.CANCELLED, ended_at=at)
        case execution.RollbackStarted():
            planned(status=ExecutionStatus.ROLLING_BACK, error=event.error)
        case execution.RolledBack():
            planned(status=ExecutionStatus.ROLLED_BACK, ended_at=at)
        case execution.PlanningCancelled():
            patch()
        case _:
            pass


def _batch(  # noqa: C901 - one case an event
    rows: Rows, recorded: Recorded, event: batch.BatchEvent
) -> None:
    patch = partial(_patch, rows, "batches", recorded)
    count = partial(rows.add, "executions", event.execution_id)
    match event:
        case batch.Planned():
            rows.put("batches", event.originator_id, _batch_row(event, recorded.recorded_at))
            count(total=event.records, pending=event.records, batches=1)
            rows.patch("executions", event.execution_id, updated_at=recorded.recorded_at)
        case batch.Started():
            patch(status=BatchStatus.STARTED, epoch=event.epoch)
        case batch.CompensationStarted():
            patch(epoch=event.epoch)
        case batch.Split():
            patch(status=BatchStatus.SPLIT)
            # Those that take its place count themselves.
            count(total=-event.records, pending=-event.records, batches=-1)
        case batch.Cancelled():
            tally = event.tally.model_dump()
            patch(status=BatchStatus.CANCELLED, error=event.reason, **tally)
            count(**tally, pending=-event.tally.processed, batches_done=1)
        case batch.Completed():
            tally = event.tally.model_dump()
            patch(status=BatchStatus.COMPLETED, change_digest=event.change_digest, **tally)
            _end_unit(rows, recorded, "executions", event.execution_id, event.tally)
        case batch.Failed():
            patch(status=BatchStatus.FAILED, error=event.error, **event.tally.model_dump())
            _end_unit(rows, recorded, "executions", event.execution_id, event.tally)
        case batch.CompensationPlanned():
            patch(status=BatchStatus.COMPENSATING)
            rows.add("undos", event.undo_id, total=event.records, pending=event.records, batches=1)
        case batch.Compensated() | batch.CompensationFailed():
            patch(status=BatchStatus.COMPLETED)
            if isinstance(event, batch.CompensationFailed):
                rows.patch("undos", event.undo_id, error=event.error)
            _end_unit(rows, recorded, "undos", event.undo_id, event.tally)
        case _:
            pass


def _undo(rows: Rows, recorded: Recorded, event: undo.UndoEvent) -> None:
    patch = partial(_patch, rows, "undos", recorded)
    match event:
        case undo.Requested():
            rows.put("undos", event.originator_id, _undo_row(event, recorded.recorded_at))
        case undo.Completed():
            patch(status=UndoStatus.COMPLETED, ended_at=recorded.recorded_at)
        case undo.Failed():
            patch(status=UndoStatus.FAILED, ended_at=recorded.recorded_at, error=event.error)
        case _:
            pass


def _export(rows: Rows, recorded: Recorded, event: export.ExportEvent) -> None:
    patch = partial(rows.patch, "executions", event.execution_id, updated_at=recorded.recorded_at)
    match event:
        case export.Requested():
            patch(exporting=True)
        case export.Written() | export.Cancelled():
            patch(exporting=False)
        case export.Failed():
            patch(exporting=False, error=event.error)
        case _:
            pass


def _end_unit(rows: Rows, recorded: Recorded, table: str, id_: UUID, tally: Tally) -> None:
    rows.add(table, id_, **tally.model_dump(), pending=-tally.processed, batches_done=1)
    rows.patch(table, id_, updated_at=recorded.recorded_at)


def _patch(rows: Rows, table: str, recorded: Recorded, **values: Any) -> None:  # noqa: ANN401 - columns
    event = recorded.event
    rows.patch(
        table,
        event.originator_id,
        version=event.originator_version,
        updated_at=recorded.recorded_at,
        **values,
    )


def _execution_row(event: execution.Requested, at: object) -> dict[str, Any]:
    return {
        "status": ExecutionStatus.REQUESTED,
        "version": event.originator_version,
        "action": event.action,
        "table_name": event.table,
        "selection": event.selection,
        "actor": event.metadata.actor,
        "issuer": event.metadata.issuer,
        "on_behalf_of": event.metadata.on_behalf_of,
        "contact": event.metadata.contact,
        "correlation_id": event.metadata.correlation_id,
        "traceparent": event.metadata.traceparent,
        "queue": event.queue,
        "priority": event.priority,
        "planning": event.planning,
        "frozen": event.frozen,
        "batch_size": event.batch_size,
        "undo_seconds": event.undo_seconds,
        "on_failure": event.on_failure,
        "max_failures": event.max_failures,
        "max_failure_ratio": event.max_failure_ratio,
        "rate": event.rate,
        "concurrency": event.concurrency,
        "retry_of": event.retry_of,
        "total_final": False,
        "exporting": False,
        "error": None,
        "requested_at": at,
        "planned_at": None,
        "updated_at": at,
        "ended_at": None,
        **_NOTHING_YET,
    }


def _batch_row(event: batch.Planned, at: object) -> dict[str, Any]:
    return {
        "execution_id": event.execution_id,
        "number": event.number,
        "table_name": event.table,
        "status": BatchStatus.PLANNED,
        "version": event.originator_version,
        "records": event.records,
        "applied": 0,
        "failed": 0,
        "skipped": 0,
        "keys_digest": event.keys_digest,
        "split_from": event.split_from,
        "epoch": 0,
        "change_digest": None,
        "error": None,
        "updated_at": at,
    }


def _undo_row(event: undo.Requested, at: object) -> dict[str, Any]:
    return {
        "execution_id": event.execution_id,
        "of_undo": event.of_undo,
        "policy": event.policy,
        "status": UndoStatus.RUNNING,
        "version": event.originator_version,
        "actor": event.metadata.actor,
        "issuer": event.metadata.issuer,
        "on_behalf_of": event.metadata.on_behalf_of,
        "contact": event.metadata.contact,
        "correlation_id": event.metadata.correlation_id,
        "traceparent": event.metadata.traceparent,
        "queue": event.queue,
        "priority": event.priority,
        "error": None,
        "requested_at": at,
        "updated_at": at,
        "ended_at": None,
        **_NOTHING_YET,
    }
