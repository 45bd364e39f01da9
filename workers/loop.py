"""The worker: takes units of work off the queue until there are none, and answers for the faults it meets."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import Error

from action_ledger.domain.actions import Actions
from action_ledger.domain.errors import StoreUnavailable
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.policy import EVERYTHING_GOES, Policy
from action_ledger.projections import tracing
from action_ledger.projections.store import Store

from .admission import Admission, NotNow
from .backoff import doubled
from .claim import Standing, Unit, claim, postpone, standing_of
from .close import ExecutionClosed, ExecutionHeld
from .effect_unit import EffectUnit
from .fail import fail_unit
from .faults import (
    UNEXPECTED,
    Scope,
    code_of,
    is_waited_out,
    may_try_again,
    message_of,
    scope_of,
)
from .meter import count_attempt, count_retry
from .rights import Rights
from .split import SplitInstead
from .steps import reached
from .sweep import sweep
from .throttle import Throttle
from .work import Workbench

MAX_MISSES = 10
"""So many faults in a row that are no unit's, before a worker says that the store cannot be reached."""
FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0
IDLE_POLL = 0.02
"""Seconds between looks at a job whose open units are all in other hands."""
WAITING_POLL = 0.2
"""The same for one whose records others have."""
ASIDE = 60.0
"""Seconds for which a unit is left alone that can be neither done nor failed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Current:
    """What a worker has in its hands, and since when, by ``time.monotonic``."""

    unit: Unit
    since: float


class Worker:
    """Works on one unit at a time; any number of them may work on the same queue.

    ``queues`` are in the order in which they are served; None is every queue. ``lease_seconds`` is how long it
    may be silent: half of that, and the server ends its transaction. ``batch_timeout`` is how many seconds a
    statement of a unit may take; None leaves that to the server. ``sizes`` are those of batches where the execution
    asks for none. Once ``leaving`` is set, an effect's records that are locked are left to others.
    """

    def __init__(
        self,
        store: Store,
        actions: Actions,
        *,
        name: str,
        queues: Sequence[str] | None,
        lease_seconds: float = 10,
        batch_timeout: float | None = None,
        sizes: Adaptive,
        throttle: Throttle | None = None,
        policy: Policy = EVERYTHING_GOES,
        leaving: threading.Event | None = None,
    ) -> None:
        self._store = store
        self._bench = Workbench(
            store,
            actions,
            name,
            sizes=sizes,
            unheld=throttle is None,
            lease_seconds=lease_seconds,
        )
        self._throttle = throttle
        self._rights = Rights(store, policy) if policy.authorize is not None else None
        self._actions = [action.name for action in actions]
        self._queues = queues
        self._silence = lease_seconds / 2
        self._limit = batch_timeout
        self._misses = 0
        self._leaving = leaving or threading.Event()
        self.name = name
        self.current: Current | None = None
        self.done = 0
        """Units that were brought to an end."""

    def finish(self, job: UUID, *, watch: Callable[[], None] | None = None) -> None:
        """Work on one execution or undo until nothing of it is open, whoever does the rest, or it is paused.

        Raises:
            StoreUnavailable: The database stays out of reach. Nothing is lost: others may finish it.
            UnknownAction: Only workers that have registered its action can go on with it.
        """
        while True:
            if self.step(job):
                if watch is not None:
                    watch()
                continue
            standing = self._standing(job)
            if standing is Standing.DONE:
                return
            if standing in {Standing.ROLLING_BACK, Standing.CLOSED}:
                self._sweep(job)
            if watch is not None:
                watch()
            time.sleep(WAITING_POLL if standing is Standing.WAITING else IDLE_POLL)

    def step(self, job: UUID | None = None) -> bool:
        """Do one unit, if there is one that nobody works on. A fault is answered for, not raised.

        Raises:
            StoreUnavailable: The database stays out of reach.
        """
        admission = Admission(self._throttle, self._rights)
        try:
            while True:
                admission.ask()
                try:
                    unit, leased = self._take(job, admission)
                except NotNow:
                    continue
                self._misses = 0
                if leased is not None:
                    self._see_through(leased)
                if unit is not None:
                    count_attempt(unit, self._seconds())
                    self._clear_up(unit)
                self.done += unit is not None
                return unit is not None
        except StoreUnavailable:
            raise  # no unit's fault: what was under a lease is taken up again when that has run out
        except Exception as error:  # noqa: BLE001 - one bad unit must not end the worker
            self._answer_for(self.current.unit if self.current else None, error)
            return True
        finally:
            self.current = None

    def _take(
        self, job: UUID | None, admission: Admission
    ) -> tuple[Unit | None, EffectUnit | None]:
        """Claim a unit and do it, in one transaction. Raises NotNow where it may not begin."""
        with self._store.transaction(silence=self._silence, limit=self._limit) as transaction:
            unit = claim(
                transaction,
                job=job,
                queues=self._queues,
                actions=self._actions,
                without=admission.left_out,
            )
            if unit is None:
                return None, None
            admission.admit(transaction, unit)
            self.current = Current(unit, time.monotonic())
            reached(f"{unit.kind}.claimed")
            leased = self._bench.do(transaction, unit)
            reached(f"{unit.kind}.before_commit")
        return unit, leased

    def _see_through(self, leased: EffectUnit) -> None:
        """Do what is outside of the database. What ends it early is not lost: the lease runs out."""
        try:
            leased.run(self._leaving)
        except ExecutionClosed:
            self._sweep(leased.unit.execution_id)
        except Error as error:
            self._miss(error)

    def _standing(self, job: UUID) -> Standing:
        try:
            with self._store.transaction() as transaction:
                return standing_of(transaction, job, self._actions)
        except Error as error:
            self._miss(error)
            return Standing.OPEN

    def _answer_for(self, unit: Unit | None, error: Exception) -> None:
        """Put the unit off when the fault passes by itself; otherwise say that it failed.

        When not even that can be said now, the unit stays in the queue as it was, and is taken up again.
        """
        if unit is None:
            self._miss(error)
            return
        seconds = self._seconds()
        error_type = None
        try:
            error_type = self._record_fault(unit, error)
            self._clear_up(unit)
        except ExecutionHeld:
            return
        except ExecutionClosed:
            self._sweep(unit.execution_id)
        except Exception as second:  # noqa: BLE001 - as in step
            self._put_aside(unit, second)
        finally:
            count_attempt(unit, seconds, error_type=error_type)

    def _record_fault(self, unit: Unit, error: Exception) -> str | None:
        """Split the unit, put it off or fail it; give the type of what it failed of for good, once that is said."""
        if isinstance(error, ExecutionHeld | ExecutionClosed):
            raise error
        code = code_of(error.cause if isinstance(error, SplitInstead) else error)
        if code == UNEXPECTED:
            log.error(
                "unit %s (%s) met an unexpected fault", unit.unit_id, unit.kind, exc_info=error
            )
        reached("fault.met")
        with self._store.transaction(silence=self._silence) as transaction:
            if isinstance(error, SplitInstead):
                self._bench.split_in_two(transaction, unit, error, error=code)
                return None
            if isinstance(error, Error) and may_try_again(
                error, attempt=unit.attempt, faults=unit.faults
            ):
                delay, own = _delay(unit.attempt), not is_waited_out(error)
                if postpone(transaction, unit, error=code, delay=delay, own=own):
                    count_retry(transaction, tracing.error_type(error))
                reached("fault.put_off")
                return None
            fail_unit(transaction, unit, error=code, worker=self.name, cause=error)
        return tracing.error_type(error)

    def _seconds(self) -> float:
        """Give how long the unit in hand has been there."""
        return 0.0 if self.current is None else time.monotonic() - self.current.since

    def _clear_up(self, unit: Unit) -> None:
        """Take away the parts of a file that was written, or failed."""
        if unit.kind == "export":
            self._sweep(unit.execution_id)

    def _sweep(self, execution_id: UUID | None) -> None:
        try:
            sweep(self._store, execution_id)
        except Error as error:
            self._miss(error)

    def _put_aside(self, unit: Unit, error: Exception) -> None:
        """Leave a unit that can be neither done nor failed for later, so that it does not end every worker."""
        if isinstance(error, StoreUnavailable):
            raise error
        if isinstance(error, Error) and scope_of(error) is Scope.PASSING:
            self._miss(error)
            return
        log.error(
            "unit %s (%s) can be neither done nor failed", unit.unit_id, unit.kind, exc_info=error
        )
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                if postpone(transaction, unit, error=code_of(error), delay=ASIDE):
                    count_retry(transaction, tracing.error_type(error))
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
    return random.uniform(0, doubled(FIRST_DELAY, attempt, longest=LONGEST_DELAY))  # noqa: S311 - no secret
