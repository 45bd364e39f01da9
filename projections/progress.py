"""The progress view: executions, their batches and their undos, as they stand now. Runs inline.

For every execution and every undo: applied + failed + skipped + pending = total, in each read, since one row
holds all five.
"""

from typing import Any, ClassVar
from uuid import UUID

from action_ledger.domain import batch, execution, undo
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

    def project(self, recorded: Recorded, rows: Rows) -> None:  # noqa: C901, PLR0912 - one case an event
        """Fold one event in."""
        at, event = recorded.recorded_at, recorded.event
        match event:
            case execution.Requested():
                rows.put("executions", event.originator_id, _execution_row(event, at))
            case execution.Planned():
                self._patch_execution(
                    rows, recorded, status=ExecutionStatus.RUNNING, planned_at=at, total_final=True
                )
            case execution.PlanningFailed():
                self._patch_execution(
                    rows,
                    recorded,
                    status=ExecutionStatus.RUNNING,
                    planned_at=at,
                    total_final=True,
                    error=event.error,
                )
            case execution.Completed():
                self._patch_execution(rows, recorded, status=ExecutionStatus.COMPLETED, ended_at=at)
            case execution.Failed():
                self._patch_execution(
                    rows, recorded, status=ExecutionStatus.FAILED, ended_at=at, error=event.error
                )
            case batch.Planned():
                rows.put("batches", event.originator_id, _batch_row(event, at))
                rows.add(
                    "executions",
                    event.execution_id,
                    total=event.records,
                    pending=event.records,
                    batches=1,
                )
                rows.patch("executions", event.execution_id, updated_at=at)
            case batch.Completed() | batch.Failed():
                self._end_batch(rows, recorded, event)
            case batch.CompensationPlanned():
                self._patch_batch(rows, recorded, status=BatchStatus.COMPENSATING)
                rows.add(
                    "undos", event.undo_id, total=event.records, pending=event.records, batches=1
                )
            case batch.Compensated() | batch.CompensationFailed():
                self._patch_batch(rows, recorded, status=BatchStatus.COMPLETED)
                if isinstance(event, batch.CompensationFailed):
                    rows.patch("undos", event.undo_id, error=event.error)
                self._end_unit(rows, recorded, "undos", event.undo_id, event.tally)
            case undo.Requested():
                rows.put("undos", event.originator_id, _undo_row(event, at))
            case undo.Completed():
                self._patch_undo(rows, recorded, status=UndoStatus.COMPLETED, ended_at=at)
            case undo.Failed() | undo.Rejected():
                failed = isinstance(event, undo.Failed)
                self._patch_undo(
                    rows,
                    recorded,
                    status=UndoStatus.FAILED if failed else UndoStatus.REJECTED,
                    ended_at=at,
                    error=event.error,
                )
            case _:
                pass

    def _end_batch(
        self, rows: Rows, recorded: Recorded, event: batch.Completed | batch.Failed
    ) -> None:
        completed = event if isinstance(event, batch.Completed) else None
        failed = event if isinstance(event, batch.Failed) else None
        self._patch_batch(
            rows,
            recorded,
            status=BatchStatus.COMPLETED if completed else BatchStatus.FAILED,
            change_digest=completed.change_digest if completed else None,
            error=failed.error if failed else None,
            **event.tally.model_dump(),
        )
        self._end_unit(rows, recorded, "executions", event.execution_id, event.tally)

    @staticmethod
    def _end_unit(rows: Rows, recorded: Recorded, table: str, id_: UUID, tally: Tally) -> None:
        rows.add(table, id_, **tally.model_dump(), pending=-tally.processed, batches_done=1)
        rows.patch(table, id_, updated_at=recorded.recorded_at)

    @staticmethod
    def _patch_execution(rows: Rows, recorded: Recorded, **values: Any) -> None:  # noqa: ANN401
        _patch(rows, "executions", recorded, values)

    @staticmethod
    def _patch_batch(rows: Rows, recorded: Recorded, **values: Any) -> None:  # noqa: ANN401
        _patch(rows, "batches", recorded, values)

    @staticmethod
    def _patch_undo(rows: Rows, recorded: Recorded, **values: Any) -> None:  # noqa: ANN401
        _patch(rows, "undos", recorded, values)


def _patch(rows: Rows, table: str, recorded: Recorded, values: dict[str, Any]) -> None:
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
        "correlation_id": event.metadata.correlation_id,
        "traceparent": event.metadata.traceparent,
        "queue": event.queue,
        "priority": event.priority,
        "planning": event.planning,
        "frozen": event.frozen,
        "batch_size": event.batch_size,
        "undo_seconds": event.undo_seconds,
        "total_final": False,
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
