"""The pace of an execution as workers keep it: how fast its batches are, and when the next may be taken up."""

from uuid import UUID

from action_ledger.domain.pace import Adaptive, Sizing
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .claim import Unit

SQL = read_blocks("action_ledger.workers", "pace.sql")

UNLIMITED_SECONDS = 2.0
"""So many times the target's time, at most, one batch keeps the next one waiting for the sake of a rate."""
SLOW = 2.0
"""A batch that takes so many times the target is worth a note, where nobody asked for one."""
QUICK = 0.5
"""A batch that takes so much of the target, or less, says nothing for smaller ones: its costs may be the fixed ones."""


def sizing_of(unit: Unit, *, asked: Adaptive | None, default: Adaptive) -> Sizing:
    """Say what the batches of a unit's execution are sized by now."""
    return Sizing(
        adaptive=asked or default,
        asked=asked is not None,
        start=unit.batch_size,
        rate=unit.rate,
        speed=unit.speed,
    )


def keep_pace(
    transaction: Transaction, unit: Unit, sizing: Sizing, *, seconds: float, unheld: bool
) -> None:
    """Keep what a batch that took so long says about the pace, at the end of its transaction.

    That costs a statement, so it is left out where nothing depends on it: no rate, no size that follows, and a
    batch that was no trouble. ``unheld`` says that nothing can hold the execution back in this process.
    """
    target = sizing.adaptive.seconds
    slow, quick = seconds > SLOW * target, seconds <= QUICK * target
    if not (slow or sizing.asked or unit.paced or unit.rate is not None):
        return
    transaction.execute(
        SQL["keep"],
        {
            "job": unit.job_id,
            "records": unit.records,
            "longest": UNLIMITED_SECONDS * target,
            "first": _first(unit, sizing, quick=quick),
            "measured": unit.records / max(seconds, 0.000_001),
            "lowest": 1.0 if quick else 0.5,
            "unheld": unheld,
        },
    )


def _first(unit: Unit, sizing: Sizing, *, quick: bool) -> float | None:
    """Give the speed that a first look starts from: that at which the batch had been as large as it should be.

    A quick batch that nobody asked to follow says nothing: a rate may have made it small.
    """
    if sizing.asked:
        return sizing.adaptive.within(sizing.start) / sizing.adaptive.seconds
    return None if quick else unit.records / sizing.adaptive.seconds


def retune_pace(
    transaction: Transaction, execution_id: UUID, *, old: float | None, new: float | None
) -> None:
    """Let a new rate count at once, also for what was booked before."""
    transaction.execute(SQL["retune"], {"job": execution_id, "old": old, "new": new})


def forget_pace(transaction: Transaction, execution_id: UUID) -> None:
    """Forget the pace of an execution that has ended."""
    transaction.execute(SQL["forget"], {"job": execution_id})
