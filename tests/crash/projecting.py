"""A follower or a rebuild in a process of its own, which stops within its n-th event and says so, or is slow."""

import signal
import time
from multiprocessing.synchronize import Event
from typing import Any

import pytest

from action_ledger.ops import open_ledger
from action_ledger.projections.audit import Audit
from action_ledger.projections.progress import Progress
from action_ledger.projections.projection import Recorded
from action_ledger.projections.rows import Rows

PROJECTIONS: dict[str, Any] = {"audit": Audit, "progress": Progress}


def in_small_blocks(patch: pytest.MonkeyPatch) -> None:
    """Let blocks be of ten events."""
    patch.setattr("action_ledger.projections.block.BLOCK", 10)
    patch.setattr("action_ledger.projections.follower.BLOCK", 10)


def main(url: str, work: str, name: str, at: int, reached: Event) -> None:
    """Do the work of a projection until its n-th event, and wait there to be killed."""
    kind = PROJECTIONS[name]
    project, seen = kind.project, 0

    def stopping(self: Any, recorded: Recorded, rows: Rows) -> None:
        nonlocal seen
        project(self, recorded, rows)
        seen += 1
        if seen == at:
            reached.set()
            signal.pause()

    with open_ledger(url) as ledger, pytest.MonkeyPatch.context() as patch:
        in_small_blocks(patch)
        patch.setattr(kind, "project", stopping)
        if work == "rebuild":
            ledger.projections.rebuild([name])
        else:
            ledger.catch_up()


def dawdle(url: str, name: str, seconds: float, quick: Event) -> None:
    """Follow for ever, and take so many seconds for each event, until it may be quick."""
    kind = PROJECTIONS[name]
    project = kind.project

    def slow(self: Any, recorded: Recorded, rows: Rows) -> None:
        quick.wait(seconds)
        project(self, recorded, rows)

    with open_ledger(url) as ledger, pytest.MonkeyPatch.context() as patch:
        in_small_blocks(patch)
        patch.setattr(kind, "project", slow)
        while True:
            if not ledger.catch_up():
                time.sleep(seconds)
