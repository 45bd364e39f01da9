"""The worker: takes units of work off the queue until there are none, and answers for the faults it meets."""

import random
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from psycopg import Error

from action_ledger.domain.actions import Actions
from action_ledger.domain.errors import ActionLedgerError
from action_ledger.projections.store import Store

from .claim import Unit, claim, is_open, postpone
from .fail import fail_unit
from .faults import Scope, scope_of
from .steps import reached
from .work import Workbench

MAX_ATTEMPTS = 10
FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0
IDLE_POLL = 0.02
"""Seconds between looks at a job whose open units are all in other hands."""


class Worker:
    """Works on one unit at a time; any number of them may work on the same queue."""

    def __init__(
        self, store: Store, actions: Actions, *, name: str, queues: Sequence[str] | None
    ) -> None:
        self._store = store
        self._bench = Workbench(store, actions, name)
        self._queues = queues
        self.name = name

    def finish(self, job: UUID, *, watch: Callable[[], None] | None = None) -> None:
        """Work on one execution or undo until nothing of it is open, whoever does the rest."""
        while True:
            if self.step(job):
                if watch is not None:
                    watch()
                continue
            with self._store.transaction() as transaction:
                if not is_open(transaction, job):
                    return
            if watch is not None:
                watch()
            time.sleep(IDLE_POLL)

    def step(self, job: UUID | None = None) -> bool:
        """Do one unit, if there is one that nobody works on. A fault is answered for, not raised."""
        unit: Unit | None = None
        try:
            with self._store.transaction() as transaction:
                unit = claim(transaction, job=job, queues=self._queues)
                if unit is None:
                    return False
                reached(f"{unit.kind}.claimed")
                self._bench.do(transaction, unit)
                reached(f"{unit.kind}.before_commit")
        except (Error, ActionLedgerError) as error:
            if unit is None:
                raise
            self._answer_for(unit, error)
        return True

    def _answer_for(self, unit: Unit, error: Error | ActionLedgerError) -> None:
        """Put the unit off when the fault passes by itself; otherwise say that it failed."""
        passing = isinstance(error, Error) and scope_of(error) is Scope.PASSING
        code = (error.sqlstate or "connection_lost") if isinstance(error, Error) else error.code
        with self._store.transaction() as transaction:
            if passing and unit.attempt < MAX_ATTEMPTS:
                postpone(transaction, unit, error=code, delay=_delay(unit.attempt))
            else:
                fail_unit(transaction, unit, error=code, worker=self.name)


def _delay(attempt: int) -> float:
    """Wait longer each time, and never in step with others: exponential, with full jitter."""
    return random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2**attempt))  # noqa: S311 - no secret
