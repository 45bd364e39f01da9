"""One open schedule as its row of the queue has it, and the next events of its stream."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import Actions
from action_ledger.domain.catch_up import Passed
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.policy import Policy
from action_ledger.domain.record_lock import OnLocked
from action_ledger.domain.rule import At, Cron, rule_from
from action_ledger.domain.schedule import CatchUp, Ended, Missed, Schedule, ScheduleStatus
from action_ledger.projections import tracing
from action_ledger.projections.store import Transaction

from .bodies import read_body
from .cutter import KeptKeys
from .request import ExecutionRequest

E = TypeVar("E", bound=Event)


class ScheduleBody(BaseModel):
    """What a schedule's request said that events must not hold: the command that each occurrence runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    """Of the command: when it is sent again, it must be the same."""
    reason: str | None
    execution: RequestExecution
    key: tuple[str, ...]
    """The key's columns when it was created: kept key sets mean nothing under another key."""


class OpenSchedule(NamedTuple):
    """A schedule whose row this transaction holds. ``now`` is the database's time, the only one that counts."""

    id: UUID
    version: int
    status: ScheduleStatus
    due_at: datetime
    rule: At | Cron
    catch_up: CatchUp
    frozen: bool
    actor: str
    correlation_id: UUID
    attempt: int
    now: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "OpenSchedule":
        """Read it from its row."""
        return cls(
            id=row["schedule_id"],
            version=row["version"],
            status=ScheduleStatus(row["status"]),
            due_at=row["due_at"],
            rule=rule_from(at=row["at_time"], cron=row["cron"], timezone=row["timezone"]),
            catch_up=CatchUp(row["catch_up"]),
            frozen=row["frozen"],
            actor=row["actor"],
            correlation_id=row["correlation_id"],
            attempt=row["attempts"] + 1,
            now=row["now"],
        )

    def metadata(self) -> Metadata:
        """Give what its events carry that nobody asks for: who asked for it."""
        return Metadata(
            actor=self.actor,
            correlation_id=self.correlation_id,
            causation_id=self.id,
            traceparent=tracing.current_traceparent(),
        )


class Story:
    """The events that are to be appended to a schedule's stream, one after the other."""

    def __init__(self, schedule: Schedule, metadata: Metadata) -> None:
        self._schedule = schedule
        self._metadata = metadata
        self.events: list[Event] = []

    @classmethod
    def of(cls, schedule: OpenSchedule, metadata: Metadata) -> "Story":
        """Go on where the stream of an open schedule stands."""
        return cls(Schedule(schedule.id, schedule.version, schedule.status), metadata)

    def allows(self, kind: type[Event]) -> bool:
        """Say whether an event of this kind may come next."""
        return self._schedule.allows(kind)

    def tell(self, kind: type[E], **fields: object) -> E:
        """Add an event."""
        event = self._schedule.trigger(kind, self._metadata, **fields)
        self._schedule = self._schedule.mutate(event)
        self.events.append(event)
        return event

    def tell_passed(self, passed: Passed | None, *, due_at: datetime | None) -> None:
        """Say that occurrences were passed over, if any were."""
        if passed is not None:
            self.tell(Missed, **asdict(passed), due_at=due_at)

    def tell_end(self, due_at: datetime | None) -> None:
        """Say that it has ended, if nothing is due any more."""
        if due_at is None:
            self.tell(Ended)


def request_execution(
    transaction: Transaction,
    actions: Actions,
    schedule: OpenSchedule,
    execution_id: UUID,
    *,
    worker: str,
    causation_id: UUID,
    policy: Policy,
) -> None:
    """Ask for the execution of an occurrence, as if somebody did so now. Raises what is wrong with it by now."""
    body = ScheduleBody.model_validate(read_body(transaction, schedule.id))
    command = body.execution.model_copy(
        update={
            "command_id": execution_id,
            "correlation_id": schedule.correlation_id,
            "on_locked": _on_locked(body.execution),
        }
    )
    policy.require(command)
    with tracing.send(
        command.action,
        queue=command.queue,
        execution_id=execution_id,
        correlation_id=schedule.correlation_id,
    ):
        request = ExecutionRequest(
            transaction, actions, command, worker, causation_id=causation_id, policy=policy
        )
        kept = KeptKeys(schedule.id, body.key) if schedule.frozen else None
        request.accept(now=False, kept=kept)


def _on_locked(command: RequestExecution) -> OnLocked | None:
    """Let a run wait for the run before it, where nobody said otherwise: else one that takes long would fail the next."""
    if command.on_locked is None and command.planning == "gated":
        return OnLocked.WAIT
    return command.on_locked
