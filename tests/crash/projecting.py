"""A follower or a rebuild in a process of its own, which stops within its n-th event and says so."""

import signal
from multiprocessing.synchronize import Event
from typing import Any

import pytest

from action_ledger.ops import open_ledger
from action_ledger.projections.audit import Audit
from action_ledger.projections.progress import Progress
from action_ledger.projections.projection import Recorded
from action_ledger.projections.rows import Rows

PROJECTIONS: dict[str, Any] = {"audit": Audit, "progress": Progress}


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
        patch.setattr("action_ledger.projections.block.BLOCK", 10)
        patch.setattr("action_ledger.projections.follower.BLOCK", 10)
        patch.setattr(kind, "project", stopping)
        if work == "rebuild":
            ledger.projections.rebuild([name])
        else:
            ledger.catch_up()
