"""The scheduler: fires what is due. Any number of workers look, one fires each occurrence, and only once.

The claim of the schedule's row, the request of the execution, the event that says so and the next due time are one
transaction: killed anywhere in it, nothing of it is there and the next worker does it. The execution's id is made
of the schedule and the occurrence, so that even without the row's lock it could not be there twice. All times are
the database's.
"""

import logging
import time

from psycopg import Error

from action_ledger.domain.actions import Actions
from action_ledger.domain.catch_up import Patience, Plan, plan_due
from action_ledger.domain.errors import StoreUnavailable, UnknownAction
from action_ledger.domain.policy import EVERYTHING_GOES, Policy
from action_ledger.domain.schedule import FailedToFire, Fired, occurrence_id
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store, Transaction

from .faults import UNEXPECTED, Scope, code_of, scope_of, tries_of
from .keeping import ASIDE, LONGEST_DELAY, TABLE_WAIT_MS, delay, let_pass
from .open_schedule import OpenSchedule, Story, request_execution
from .patience import wait_at_most
from .steps import reached

SQL = read_blocks("action_ledger.workers", "schedules.sql")

LOOK_SECONDS = 0.2
"""How often a busy or an idle worker looks for what is due."""

log = logging.getLogger(__name__)


class Scheduler:
    """Fires for one worker."""

    def __init__(
        self,
        store: Store,
        actions: Actions,
        *,
        name: str,
        lease_seconds: float,
        patience: Patience,
        policy: Policy = EVERYTHING_GOES,
    ) -> None:
        self._store = store
        self._actions = actions
        self._silence = lease_seconds / 2
        self._patience = patience
        self._policy = policy
        self._looked = -LOOK_SECONDS
        self.name = name

    def look(self) -> bool:
        """Fire one schedule if one is due, but look no more often than makes sense. For a worker's loop.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        # Only how often to ask is this machine's affair; what is due, the database says.
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        fired = self.step()
        if not fired:
            self._looked = time.monotonic()
        return fired

    def step(self) -> bool:
        """Deal with one schedule that is due and that nobody is at, if there is one. A fault is answered for.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        schedule: OpenSchedule | None = None
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                row = transaction.execute(SQL["claim_due"]).fetchone()
                if row is not None:
                    schedule = OpenSchedule.of(row)
                    reached("firing.claimed")
                    wait_at_most(transaction, TABLE_WAIT_MS)
                    self._fire(transaction, schedule)
                    reached("firing.before_commit")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one bad schedule must not end the worker
            self._answer_for(schedule, error)
        return schedule is not None

    def _fire(self, transaction: Transaction, schedule: OpenSchedule) -> None:
        plan = self._plan(schedule)
        story = Story.of(schedule, schedule.metadata())
        story.tell_passed(plan.passed, due_at=plan.occurrence or plan.following)
        if plan.occurrence is not None:
            execution_id = occurrence_id(schedule.id, plan.occurrence)
            request_execution(
                transaction,
                self._actions,
                schedule,
                execution_id,
                worker=self.name,
                causation_id=schedule.id,
                policy=self._policy,
            )
            reached("firing.requested")
            story.tell(
                Fired,
                occurrence=plan.occurrence,
                execution_id=execution_id,
                manual=False,
                due_at=plan.following,
            )
        story.tell_end(plan.following)
        transaction.append(*story.events)
        reached("firing.appended")

    def _plan(self, schedule: OpenSchedule) -> Plan:
        return plan_due(
            schedule.rule,
            schedule.catch_up,
            due=schedule.due_at,
            now=schedule.now,
            patience=self._patience,
        )

    def _answer_for(self, schedule: OpenSchedule | None, error: Exception) -> None:
        """Try later when the fault passes by itself; otherwise say that the occurrence failed, and go on.

        Nothing is done where somebody else has fired or steered it meanwhile, or the COMMIT did get through.
        """
        if schedule is None:
            let_pass(error)
            return
        code = code_of(error)
        if code == UNEXPECTED:
            log.error("schedule %s met an unexpected fault", schedule.id, exc_info=error)
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                if not _hold(transaction, schedule):
                    return
                if isinstance(error, Error) and schedule.attempt < tries_of(error):
                    _postpone(transaction, schedule, code, delay(schedule.attempt))
                elif isinstance(error, UnknownAction):
                    # Another worker may know it, as with units.
                    _postpone(transaction, schedule, code, LONGEST_DELAY)
                else:
                    self._fail(transaction, schedule, code)
        except StoreUnavailable:
            raise
        except Exception as second:  # noqa: BLE001 - as in step
            self._put_aside(schedule, second)

    def _fail(self, transaction: Transaction, schedule: OpenSchedule, code: str) -> None:
        plan = self._plan(schedule)
        story = Story.of(schedule, schedule.metadata())
        story.tell_passed(plan.passed, due_at=plan.occurrence or plan.following)
        if plan.occurrence is not None:
            story.tell(FailedToFire, occurrence=plan.occurrence, error=code, due_at=plan.following)
        story.tell_end(plan.following)
        transaction.append(*story.events)

    def _put_aside(self, schedule: OpenSchedule, error: Exception) -> None:
        """Leave a schedule for later of which nothing can be said now, so that the others go on."""
        if isinstance(error, Error) and scope_of(error) is Scope.PASSING:
            return  # it is as it was, and is taken up again
        log.error("schedule %s can neither be fired nor fail", schedule.id, exc_info=error)
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                if _hold(transaction, schedule):
                    _postpone(transaction, schedule, code_of(error), ASIDE)
        except Error as third:
            let_pass(third)


def _hold(transaction: Transaction, schedule: OpenSchedule) -> bool:
    values = {"schedule_id": schedule.id, "version": schedule.version}
    return transaction.execute(SQL["hold"], values).fetchone() is not None


def _postpone(transaction: Transaction, schedule: OpenSchedule, error: str, delay: float) -> None:
    values = {"schedule_id": schedule.id, "error": error, "delay": delay}
    transaction.execute(SQL["postpone"], values)
