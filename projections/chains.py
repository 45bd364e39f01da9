"""The view of chains: each as it stands, and each of its steps. Runs inline."""

from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from action_ledger.domain import chain
from action_ledger.domain.chain import ChainStatus, step_id

from .projection import Recorded
from .rows import Rows

CHAINS = "chains"
STEPS = "chain_steps"


class Chains:
    """States, counts and times; and a row for every step, under the id of its execution."""

    name: ClassVar[str] = "chains"
    tables: ClassVar[dict[str, str]] = {CHAINS: "chain_id", STEPS: "execution_id"}

    def project(  # noqa: C901, PLR0912 - one case an event
        self, recorded: Recorded, rows: Rows
    ) -> None:
        """Fold one event in."""
        at, event = recorded.recorded_at, recorded.event
        patch = partial(_patch, rows, recorded)
        match event:
            case chain.Requested():
                rows.put(CHAINS, event.originator_id, _chain_row(event, at))
                for number, step in enumerate(event.steps, 1):
                    rows.put(
                        STEPS, step_id(event.originator_id, number), _step_row(event, number, step)
                    )
            case chain.StepStarted():
                patch(step=event.step)
                _patch_step(rows, event, status="running", started_at=at)
            case chain.StepRefused():
                patch(step=event.step)
                rows.add(CHAINS, event.originator_id, failed=1)
                _patch_step(rows, event, status="refused", error=event.error, ended_at=at)
            case chain.StepEnded():
                patch()
                count = "failed" if event.failed else "completed"
                rows.add(CHAINS, event.originator_id, **{count: 1})
                status = "failed" if event.failed else event.status
                _patch_step(rows, event, status=status, error=event.error, ended_at=at)
            case chain.Paused():
                patch(status=ChainStatus.PAUSED)
            case chain.Resumed():
                patch(status=ChainStatus.RUNNING)
            case chain.Compensating():
                error = {"error": event.error} if event.error else {}
                patch(status=ChainStatus.COMPENSATING, ended_at=None, kept_back=0, **error)
            case chain.StepCompensating():
                patch()
                _patch_step(rows, event, status="compensating", undo_id=event.undo_id)
            case chain.StepCompensated():
                patch()
                self._compensated(rows, event)
            case chain.Completed():
                patch(status=ChainStatus.COMPLETED, ended_at=at)
            case chain.Failed():
                patch(status=ChainStatus.FAILED, error=event.error, ended_at=at)
            case chain.Cancelled():
                patch(status=ChainStatus.CANCELLED, ended_at=at)
            case chain.Compensated():
                patch(status=ChainStatus.COMPENSATED, ended_at=at)
            case _:
                pass

    @staticmethod
    def _compensated(rows: Rows, event: chain.StepCompensated) -> None:
        left = event.tally.skipped + event.tally.failed
        rows.add(CHAINS, event.originator_id, kept_back=left)
        if event.error is not None:
            _patch_step(rows, event, status="kept", error=event.error)
        elif event.undo_id is not None:
            _patch_step(rows, event, status="compensated")


def _patch(rows: Rows, recorded: Recorded, **values: Any) -> None:  # noqa: ANN401
    event = recorded.event
    rows.patch(
        CHAINS,
        event.originator_id,
        version=event.originator_version,
        updated_at=recorded.recorded_at,
        **values,
    )


def _patch_step(rows: Rows, event: chain.StepEvent, **values: Any) -> None:  # noqa: ANN401
    rows.patch(STEPS, step_id(event.originator_id, event.step), **values)


def _chain_row(event: chain.Requested, at: datetime) -> dict[str, Any]:
    return {
        "status": ChainStatus.RUNNING,
        "version": event.originator_version,
        "steps": len(event.steps),
        "step": 0,
        "completed": 0,
        "failed": 0,
        "kept_back": 0,
        "error": None,
        "actor": event.metadata.actor,
        "correlation_id": event.metadata.correlation_id,
        "requested_at": at,
        "updated_at": at,
        "ended_at": None,
    }


def _step_row(event: chain.Requested, number: int, step: chain.PlannedStep) -> dict[str, Any]:
    return {
        "chain_id": event.originator_id,
        "number": number,
        "action": step.action,
        "table_name": step.table,
        "on_failure": step.on_failure,
        "status": "waiting",
        "error": None,
        "undo_id": None,
        "started_at": None,
        "ended_at": None,
    }
