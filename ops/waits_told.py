"""Says in a worker's log for whom its work waits: once for each job and each session that holds a lock it wants."""

import logging
import time
from collections.abc import Sequence
from uuid import UUID

from action_ledger.projections.store import Store
from action_ledger.workers.claim import Unit
from action_ledger.workers.loop import Worker

from .blockers import Blocker, read_blockers

PATIENCE = 5.0
"""Seconds that a unit has been in hand before it is asked whether it waits."""

log = logging.getLogger(__name__)


class WaitsTold:
    """What was said of the workers of one process; asks over a connection that they do not use."""

    def __init__(self, store: Store, workers: Sequence[Worker]) -> None:
        self._store, self._workers = store, workers
        self._told: set[tuple[UUID, int]] = set()

    def look(self) -> None:
        """Warn of sessions that are in the way and of which nothing was said yet.

        Asks the database nothing while no unit takes long.
        """
        jobs = {unit.job_id: unit for unit in self._long()}
        self._told = {(job_id, pid) for job_id, pid in self._told if job_id in jobs}
        for job_id, unit in jobs.items():
            for blocker in read_blockers(self._store, job_id):
                if (job_id, blocker.pid) in self._told:
                    continue
                self._told.add((job_id, blocker.pid))
                log.warning(
                    "The %s %s waits for a %s lock held by %s",
                    "execution" if unit.undo_id is None else "undo",
                    job_id,
                    blocker.lock,
                    _session(blocker),
                )

    def _long(self) -> list[Unit]:
        now = time.monotonic()
        held = (worker.current for worker in self._workers)
        return [each.unit for each in held if each is not None and now - each.since > PATIENCE]


def _session(blocker: Blocker) -> str:
    """Name a session. What it calls itself is written as Python has it, so that it cannot begin a line of its own."""
    if not blocker.pid:
        return "a prepared transaction"
    known = f"application {blocker.application!r}, user {blocker.login!r}"
    if blocker.state is not None and blocker.seconds is not None:
        known += f", {blocker.state} for {blocker.seconds:.0f} s"
    return f"pid {blocker.pid} ({known})"
