"""The keeper: what is to be done beside units of work, by every worker and by whoever of them comes first.

It takes in what hosts left, fires what is due, moves chains on, mends what dead workers left and removes files and
rejected commands whose time is over. One statement says where there may be anything, so that a worker with nothing to
do asks little.
"""

import logging

from psycopg.rows import DictRow

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

from .close import SQL as QUEUE
from .conductor import Conductor
from .export_sweep import clean_exports
from .inbox import Inbox
from .keeping import PutOff
from .scheduler import Scheduler
from .sweep import sweep

SQL = read_blocks("action_ledger.workers", "keeper.sql")

log = logging.getLogger(__name__)


FIRST_PAUSE = 60.0
LONGEST_PAUSE = 86_400.0
"""Seconds after which a file that could not be removed is tried again: at first, and at most."""
FIRST_SWEEP_PAUSE = 1.0
LONGEST_SWEEP_PAUSE = 300.0
"""The same for an execution that could not be swept up."""


class Keeper:
    """Keeps a ledger in order, over one connection."""

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        scheduler: Scheduler,
        conductor: Conductor,
        *,
        file_seconds: float,
        rejected_seconds: float,
    ) -> None:
        """``file_seconds`` is how long the file of an export stays, ``rejected_seconds`` a rejected command."""
        self._store = store
        self._inbox, self._scheduler, self._conductor = inbox, scheduler, conductor
        self._files = PutOff(first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        self._sweeps = PutOff(first=FIRST_SWEEP_PAUSE, longest=LONGEST_SWEEP_PAUSE)
        self._spans = {"file_seconds": file_seconds, "rejected_seconds": rejected_seconds}

    def step(self) -> bool:
        """Look once, and do one of each that there is; say whether anything was done, so that there may be more.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        there = self._look()
        did = [
            there["commands"] and self._inbox.step(),
            there["schedules"] and self._scheduler.step(),
            there["chains"] and self._conductor.step(),
            there["findings"] and sweep(self._store, put_off=self._sweeps) > 0,
            there["files"] and self._clean(),
        ]
        if there["rejected"]:
            self._inbox.forget_rejected(seconds=self._spans["rejected_seconds"])
        return any(did)

    def _clean(self) -> bool:
        """Remove one file whose time is over: all else waits meanwhile, and it is read through before.

        One that cannot be removed is tried again, after twice as long each time.
        """
        seconds, leaving = self._spans["file_seconds"], self._files.look()
        cleaning = clean_exports(self._store, seconds=seconds, leaving=leaving, most=1)
        for id_, fault in cleaning.faults.items():
            message = "The export %s cannot be removed: %s; tried again in %s s"
            log.warning(message, fault.path, fault.detail, self._files.again(id_))
        return bool(cleaning.files or cleaning.faults)

    def _look(self) -> DictRow:
        with self._store.transaction() as transaction:
            findings = transaction.compose(QUEUE["findings"])
            look = transaction.compose(SQL["look"], findings=findings)
            values = {"execution_id": None, **self._spans}
            [row] = transaction.cursor.execute(look, values).fetchall()
        return row
