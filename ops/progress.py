"""Progress as people and programs read it: counts, rate and time left, from one row of the progress view."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.execution import ExecutionStatus


class Progress(BaseModel):
    """How far an execution or an undo has come. applied + failed + skipped + pending = total, always."""

    model_config = ConfigDict(frozen=True)

    status: str
    total: int
    total_final: bool
    """False while planning still goes on, so that the total may grow."""
    applied: int
    failed: int
    skipped: int
    pending: int
    """Not processed: not yet, or not any more where the execution was closed before."""
    batches: int
    batches_done: int
    """Batches of which every record came to an end. None that a cancel or a stop left undone is among them."""
    elapsed: float
    """Seconds from the request to the end, or to now, by the database's clock."""
    rate: float | None
    """Records a second of the time in which it was not paused; None before there is one, and during a pause."""
    eta: float | None
    """Seconds until the end at this rate; None when it cannot be said."""
    paused: float = 0.0
    """Seconds of ``elapsed`` in which it was paused."""
    held: str | None = None
    """Why a throttle probe holds it back at the moment; None when it does not."""
    waits_for: tuple[UUID, ...] = ()
    """Executions and undos that have records which it waits for."""
    probe_error: str | None = None
    """The kind of error with which the throttle probe failed last; then it holds nothing back."""

    @property
    def processed(self) -> int:
        """Records that came to an end, whichever."""
        return self.applied + self.failed + self.skipped

    @property
    def closed(self) -> bool:
        """Nothing more is taken up: what is pending now stays so."""
        return self.status in {"failed", "cancelled", "rolling_back", "rolled_back"}

    @property
    def percent(self) -> float:
        """How much of the total is done; 100 for nothing to do, 0 while nobody knows how much there is."""
        if not self.total:
            return 100.0 if self.total_final else 0.0
        return 100 * self.processed / self.total

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Compute it from a row of the view."""
        start: datetime = row["requested_at"]
        ended: datetime | None = row["ended_at"]
        paused: float = row.get("paused_seconds") or 0.0
        worked = ((ended or row["updated_at"]) - start).total_seconds() - paused
        processed = row["applied"] + row["failed"] + row["skipped"]
        measurable = processed and worked > 0 and row["status"] != ExecutionStatus.PAUSED
        rate = processed / worked if measurable else None
        eta = row["pending"] / rate if rate and ended is None else None
        names = (
            "status",
            "total",
            "applied",
            "failed",
            "skipped",
            "pending",
            "batches",
        )
        return cls(
            total_final=row.get("total_final", True),
            batches_done=batches_done(row),
            elapsed=((ended or row["now"]) - start).total_seconds(),
            rate=rate,
            eta=eta,
            paused=paused,
            held=row.get("held_because"),
            waits_for=tuple(row.get("waits_for") or ()),
            probe_error=row.get("probe_error"),
            **{name: row[name] for name in names},
        )


def batches_done(row: dict[str, Any]) -> int:
    """Count the batches of a row of the view that were done; the view counts those that were closed undone too."""
    left: int | None = row.get("batches_left")
    done: int = row["batches_done"] if left is None else row["batches"] - left
    return done
