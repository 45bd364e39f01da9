"""The handle of a schedule: to look at, and to steer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from uuid_utils.compat import uuid7

from action_ledger.domain.commands import (
    AnyScheduleSteering,
    CancelSchedule,
    PauseSchedule,
    Reschedule,
    ResumeSchedule,
    RunScheduleNow,
)

from .checks import check_actor, invalid
from .rules import rule_of
from .schedule_views import ScheduleRun, ScheduleView, Upcoming, read_runs, read_schedule
from .schedule_views import read_upcoming as read

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from action_ledger.domain.actor import Asker
    from action_ledger.projections.projection import Recorded

    from .handles import ExecutionHandle
    from .ledger import Ledger


class ScheduleHandle:
    """One schedule. Whoever steers it says who he is: ``.pause(by="user:42")``."""

    def __init__(self, ledger: Ledger, id_: UUID) -> None:
        """Look nothing up yet."""
        self.ledger = ledger
        self.id = id_

    def view(self) -> ScheduleView:
        """Read it as it stands. Raises ScheduleNotFound."""
        return read_schedule(self.ledger.store, self.id)

    @property
    def status(self) -> str:
        """Where it stands: active, paused, cancelled or ended."""
        return self.view().status

    def next(self) -> datetime | None:
        """Say when it is due next, by the clocks of its zone; None when it rests or has ended."""
        view = self.view()
        return view.due_at if view.status == "active" else None

    def upcoming(self, count: int = 10) -> list[Upcoming]:
        """List its next occurrences; none while it rests. Raises ScheduleNotFound."""
        self.view()
        return read(self.ledger.store, limit=count, schedule_id=self.id)

    def runs(self, limit: int = 100) -> list[ScheduleRun]:
        """List what became of its occurrences, the newest first."""
        return read_runs(self.ledger.store, self.id, limit=limit)

    def events(self) -> list[Recorded]:
        """Read its own stream."""
        store = self.ledger.store
        with store.transaction() as transaction:
            return store.read_stream(transaction.cursor, self.id)

    def pause(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Let nothing of it run until it is resumed."""
        self._steer(PauseSchedule, by=by, reason=reason)

    def resume(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Let it go on. What fell due meanwhile is made up for only where the policy is ``all``."""
        self._steer(ResumeSchedule, by=by, reason=reason)

    def reschedule(
        self,
        *,
        at: datetime | str | None = None,
        cron: str | None = None,
        timezone: str | None = None,
        by: Asker | None = None,
        reason: str | None = None,
    ) -> None:
        """Give it another time, expression or zone. A paused one stays paused."""
        rule = rule_of(at=at, cron=cron, timezone=timezone)
        self._steer(Reschedule, by=by, reason=reason, rule=rule)

    def cancel(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """End it. Executions that it has fired go on; cancel those by themselves."""
        self._steer(CancelSchedule, by=by, reason=reason)

    def run_now(self, *, by: Asker | None = None, reason: str | None = None) -> ExecutionHandle:
        """Run it once more, out of turn, and leave that to the workers. What is due next stays as it is."""
        return self.ledger.execution(self._steer(RunScheduleNow, by=by, reason=reason))

    def _steer(
        self,
        kind: type[AnyScheduleSteering],
        *,
        by: Asker | None,
        reason: str | None,
        **fields: Any,  # noqa: ANN401
    ) -> UUID:
        check_actor(by)
        try:
            command = kind.model_validate(
                {
                    "command_id": uuid7(),
                    "actor": by,
                    "reason": reason,
                    "schedule_id": self.id,
                    **fields,
                }
            )
        except ValidationError as error:
            raise invalid("schedule", error) from error
        return self.ledger.handle(command)
