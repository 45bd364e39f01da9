"""Steers a schedule: pause, resume, another rule, the end, and a run out of turn.

The schedule's row of the queue is locked first, and waited for no longer than a while: whoever fires it at that
moment has it. The append lock comes last, and nobody waits for such a row with the append lock in hand.
"""

from typing import NoReturn, assert_never

from action_ledger.domain.actions import Actions
from action_ledger.domain.catch_up import passed_over
from action_ledger.domain.commands import (
    AnyScheduleSteering,
    CancelSchedule,
    PauseSchedule,
    Reschedule,
    ResumeSchedule,
    RunScheduleNow,
)
from action_ledger.domain.errors import ScheduleClosed, ScheduleNotFound
from action_ledger.domain.event import Event
from action_ledger.domain.policy import EVERYTHING_GOES, Policy
from action_ledger.domain.rule import next_after
from action_ledger.domain.schedule import (
    Cancelled,
    CatchUp,
    Fired,
    Paused,
    Rescheduled,
    Resumed,
)
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .actors import metadata_of
from .bodies import save_body
from .open_schedule import OpenSchedule, Story, request_execution
from .patience import wait_at_most
from .schedule_request import first_due, time_of, told_of
from .steer import SteeringBody
from .steps import reached

SQL = read_blocks("action_ledger.workers", "schedules.sql")

WAIT_MS = 5_000
"""How long a steering command waits for the schedule's row before it rolls back and tries again."""


class ScheduleSteering:
    """One command, on its way into the ledger."""

    def __init__(
        self,
        transaction: Transaction,
        actions: Actions,
        command: AnyScheduleSteering,
        *,
        worker: str,
        max_days: int,
        policy: Policy = EVERYTHING_GOES,
    ) -> None:
        self._transaction = transaction
        self._actions = actions
        self._command = command
        self._worker = worker
        self._max_days = max_days
        self._policy = policy

    def accept(self) -> None:
        """Record it, in the caller's transaction. Raises ScheduleNotFound, ScheduleClosed, and what is wrong in it."""
        command, transaction = self._command, self._transaction
        schedule = self._hold()
        reached("steering.held")
        body = SteeringBody(fingerprint=command.fingerprint, reason=command.reason)
        save_body(transaction, command.command_id, body)
        metadata = metadata_of(transaction, command).model_copy(
            update={"correlation_id": schedule.correlation_id}
        )
        story = Story.of(schedule, metadata)
        match command:
            case PauseSchedule():
                self._check(schedule, story, Paused)
                story.tell(Paused)
            case ResumeSchedule():
                self._check(schedule, story, Resumed)
                _resume(schedule, story)
            case Reschedule():
                self._reschedule(command, schedule, story)
            case CancelSchedule():
                story.tell(Cancelled)
            case RunScheduleNow():
                self._run_now(command, schedule, story)
            case _:
                assert_never(command)
        reached("steering.before_append")
        transaction.append(*story.events)
        reached("steering.before_commit")

    def _hold(self) -> OpenSchedule:
        transaction, id_ = self._transaction, {"schedule_id": self._command.schedule_id}
        wait_at_most(transaction, WAIT_MS)
        row = transaction.execute(SQL["hold_to_steer"], id_).fetchone()
        if row is None:
            self._refuse_missing()
        return OpenSchedule.of({**row, "now": time_of(transaction)})

    def _refuse_missing(self) -> NoReturn:
        schedule_id = self._command.schedule_id
        found = self._transaction.execute(SQL["status"], {"schedule_id": schedule_id}).fetchone()
        if found is None:
            raise ScheduleNotFound(schedule_id=schedule_id)
        raise self._closed(found["status"])

    def _check(self, schedule: OpenSchedule, story: Story, kind: type[Event]) -> None:
        if not story.allows(kind):
            raise self._closed(schedule.status)

    def _closed(self, status: str) -> ScheduleClosed:
        wanted = self._command.type.replace("_", " ")
        return ScheduleClosed(schedule_id=self._command.schedule_id, status=status, wanted=wanted)

    def _reschedule(self, command: Reschedule, schedule: OpenSchedule, story: Story) -> None:
        """Give it another rule. What was due by the old one and has not run does not run any more."""
        due = first_due(command.rule, schedule.now, self._max_days)
        passed = passed_over(schedule.rule, schedule.due_at, schedule.now)
        story.tell_passed(passed, due_at=due)
        story.tell(Rescheduled, **told_of(command.rule), due_at=due)

    def _run_now(self, command: RunScheduleNow, schedule: OpenSchedule, story: Story) -> None:
        request_execution(
            self._transaction,
            self._actions,
            schedule,
            command.subject,
            worker=self._worker,
            causation_id=command.command_id,
            policy=self._policy,
        )
        story.tell(
            Fired,
            occurrence=schedule.now,
            execution_id=command.subject,
            manual=True,
            due_at=schedule.due_at,
        )


def _resume(schedule: OpenSchedule, story: Story) -> None:
    """Go on. Only the policy ``all`` catches up with what fell due during the pause: that was meant to rest."""
    story.tell(Resumed, due_at=schedule.due_at)
    if schedule.catch_up is CatchUp.ALL:
        return
    passed = passed_over(schedule.rule, schedule.due_at, schedule.now)
    if passed is not None:
        following = next_after(schedule.rule, schedule.now)
        story.tell_passed(passed, due_at=following)
        story.tell_end(following)
