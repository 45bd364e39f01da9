"""The worker: takes units of work off the queue until there are none, and answers for the faults it meets."""

import logging
import random
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from psycopg import Error

from action_ledger.domain.actions import Actions
from action_ledger.domain.errors import StoreUnavailable
from action_ledger.projections.store import Store

from .claim import Unit, claim, is_open, postpone
from .fail import fail_unit
from .faults import UNEXPECTED, Scope, code_of, message_of, scope_of, tries_of
from .steps import reached
from .work import Workbench

MAX_MISSES = 10
"""So many faults in a row that are no unit's, before a worker says that the store cannot be reached."""
FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0
IDLE_POLL = 0.02
"""Seconds between looks at a job whose open units are all in other hands."""
ASIDE = 60.0
"""Seconds for which a unit is left alone that can be neither done nor failed."""

log = logging.getLogger(__name__)


class Worker:
    """Works on one unit at a time; any number of them may work on the same queue.

    ``lease_seconds`` is how long it may be silent: half of that, and the server ends its transaction.
    """

    def __init__(
        self,
        store: Store,
        actions: Actions,
        *,
        name: str,
        queues: Sequence[str] | None,
        lease_seconds: float = 10,
    ) -> None:
        self._store = store
        self._bench = Workbench(store, actions, name)
        self._queues = queues
        self._silence = lease_seconds / 2
        self._misses = 0
        self.name = name

    def finish(self, job: UUID, *, watch: Callable[[], None] | None = None) -> None:
        """Work on one execution or undo until nothing of it is open, whoever does the rest.

        Raises:
            StoreUnavailable: The database stays out of reach. Nothing is lost: others may finish it.
        """
        while True:
            if self.step(job):
                if watch is not None:
                    watch()
                continue
            if not self._is_open(job):
                return
            if watch is not None:
                watch()
            time.sleep(IDLE_POLL)

    def step(self, job: UUID | None = None) -> bool:
        """Do one unit, if there is one that nobody works on. A fault is answered for, not raised.

        Raises:
            StoreUnavailable: The database stays out of reach.
        """
        unit: Unit | None = None
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                unit = claim(transaction, job=job, queues=self._queues)
                if unit is not None:
                    reached(f"{unit.kind}.claimed")
                    self._bench.do(transaction, unit)
                    reached(f"{unit.kind}.before_commit")
        except Exception as error:  # noqa: BLE001 - one bad unit must not end the worker
            self._answer_for(unit, error)
            return True
        self._misses = 0
        return unit is not None

    def _is_open(self, job: UUID) -> bool:
        try:
            with self._store.transaction() as transaction:
                return is_open(transaction, job)
        except Error as error:
            self._miss(error)
            return True

    def _answer_for(self, unit: Unit | None, error: Exception) -> None:
        """Put the unit off when the fault passes by itself; otherwise say that it failed.

        When not even that can be said now, the unit stays in the queue as it was, and is taken up again.
        """
        if unit is None:
            self._miss(error)
            return
        code = code_of(error)
        if code == UNEXPECTED:
            log.error(
                "unit %s (%s) met an unexpected fault", unit.unit_id, unit.kind, exc_info=error
            )
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                if isinstance(error, Error) and unit.attempt < tries_of(error):
                    postpone(transaction, unit, error=code, delay=_delay(unit.attempt))
                else:
                    fail_unit(transaction, unit, error=code, worker=self.name)
        except Exception as second:  # noqa: BLE001 - as in step
            self._put_aside(unit, second)

    def _put_aside(self, unit: Unit, error: Exception) -> None:
        """Leave a unit that can be neither done nor failed for later, so that it does not end every worker."""
        if isinstance(error, Error) and scope_of(error) is Scope.PASSING:
            self._miss(error)
            return
        log.error(
            "unit %s (%s) can be neither done nor failed", unit.unit_id, unit.kind, exc_info=error
        )
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                postpone(transaction, unit, error=code_of(error), delay=ASIDE)
        except Error as third:
            self._miss(third)

    def _miss(self, error: Exception) -> None:
        """Wait after a fault that is no unit's own, longer each time, and not for ever."""
        if not isinstance(error, Error) or scope_of(error) is not Scope.PASSING:
            raise error
        self._misses += 1
        if self._misses > MAX_MISSES:
            self._misses = 0
            raise StoreUnavailable(reason=message_of(error)) from error
        time.sleep(_delay(self._misses))


def _delay(attempt: int) -> float:
    """Wait longer each time, and never in step with others: exponential, with full jitter."""
    return random.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2**attempt))  # noqa: S311 - no secret
