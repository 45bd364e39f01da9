"""The chain queue: one row for every chain that has not ended. Runs inline.

A row's lock is the lease of the one who moves or steers the chain, so this view is never switched to another
generation; and a row holds where the chain stands, so that nobody decides on a view that was switched.
"""

from typing import Any, ClassVar
from uuid import UUID

from action_ledger.domain import chain
from action_ledger.domain.chain import ChainStatus

from .projection import Recorded
from .rows import Rows

TABLE = "chain_queue"
_TRIED_ANEW = {"attempts": 0, "available_at": "-infinity", "last_error": None}


class ChainQueue:
    """Open chains: the step that each is at, and the execution or undo that it waits for."""

    name: ClassVar[str] = "chain_queue"
    tables: ClassVar[dict[str, str]] = {TABLE: "chain_id"}

    def project(self, recorded: Recorded, rows: Rows) -> None:  # noqa: C901 - one case an event
        """Fold one event in."""
        event = recorded.event
        match event:
            case chain.Requested():
                rows.put(TABLE, event.originator_id, _row(event, ChainStatus.RUNNING, step=0))
            case chain.StepStarted():
                _patch(rows, event, step=event.step, awaits=event.execution_id)
            case chain.StepRefused():
                _patch(rows, event, step=event.step, awaits=None)
            case chain.StepEnded():
                _patch(rows, event, awaits=None)
            case chain.StepCompensating():
                _patch(rows, event, step=event.step, awaits=event.undo_id)
            case chain.StepCompensated():
                _patch(rows, event, step=event.step - 1, awaits=None)
            case chain.Paused():
                _patch(rows, event, status=ChainStatus.PAUSED)
            case chain.Resumed():
                _patch(rows, event, status=ChainStatus.RUNNING)
            case chain.Compensating():
                # Of a chain that had ended there is no row.
                rows.drop(TABLE, event.originator_id)
                row = _row(event, ChainStatus.COMPENSATING, step=event.step)
                rows.put(TABLE, event.originator_id, row)
            case chain.Completed() | chain.Failed() | chain.Cancelled() | chain.Compensated():
                rows.drop(TABLE, event.originator_id)
            case _:
                pass


def _patch(rows: Rows, event: chain.ChainEvent, **values: Any) -> None:  # noqa: ANN401
    rows.patch(
        TABLE, event.originator_id, version=event.originator_version, **values, **_TRIED_ANEW
    )


def _row(event: chain.ChainEvent, status: ChainStatus, *, step: int) -> dict[str, Any]:
    awaits: UUID | None = None
    return {
        "version": event.originator_version,
        "status": status,
        "step": step,
        "awaits": awaits,
        "actor": event.metadata.actor,
        "correlation_id": event.metadata.correlation_id,
        **_TRIED_ANEW,
    }
