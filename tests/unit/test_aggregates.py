"""The state tables: every pair of state and event either leads on or is refused; replay gives the same."""

from dataclasses import replace
from enum import StrEnum
from uuid import uuid4

import pytest

from action_ledger.domain import (
    batch,
    chain,
    command,
    erasure,
    execution,
    export,
    preview,
    record_lock,
    schedule,
    undo,
)
from action_ledger.domain.aggregate import Aggregate, InvalidTransition
from action_ledger.domain.batch import Batch, BatchStatus
from action_ledger.domain.chain import Chain, ChainStatus
from action_ledger.domain.command import Rejection, RejectionStatus
from action_ledger.domain.erasure import Erasure, ErasureStatus
from action_ledger.domain.event import Event, Tally
from action_ledger.domain.execution import Execution, ExecutionStatus
from action_ledger.domain.export import Export, ExportStatus
from action_ledger.domain.preview import PreviewStatus, PreviewStream
from action_ledger.domain.record_lock import RecordLock, RecordLockStatus, record_lock_id
from action_ledger.domain.schedule import Schedule, ScheduleStatus
from action_ledger.domain.topics import TOPICS
from action_ledger.domain.undo import Undo, UndoStatus
from tests.events import METADATA, sample

AGGREGATES: list[tuple[type[Aggregate], type[StrEnum]]] = [
    (Execution, ExecutionStatus),
    (Batch, BatchStatus),
    (Undo, UndoStatus),
    (RecordLock, RecordLockStatus),
    (Schedule, ScheduleStatus),
    (Chain, ChainStatus),
    (Export, ExportStatus),
    (PreviewStream, PreviewStatus),
    (Rejection, RejectionStatus),
    (Erasure, ErasureStatus),
]

# The tables written out a second time: a change of one is a change of what may happen, and is meant.
WAYS: dict[type[Aggregate], set[tuple[StrEnum | None, type[Event], StrEnum]]] = {
    Chain: {
        (None, chain.Requested, ChainStatus.RUNNING),
        (ChainStatus.RUNNING, chain.StepStarted, ChainStatus.RUNNING),
        (ChainStatus.RUNNING, chain.StepRefused, ChainStatus.RUNNING),
        (ChainStatus.RUNNING, chain.StepEnded, ChainStatus.RUNNING),
        (ChainStatus.PAUSED, chain.StepEnded, ChainStatus.PAUSED),
        (ChainStatus.RUNNING, chain.Paused, ChainStatus.PAUSED),
        (ChainStatus.PAUSED, chain.Resumed, ChainStatus.RUNNING),
        (ChainStatus.RUNNING, chain.Cancelled, ChainStatus.CANCELLED),
        (ChainStatus.PAUSED, chain.Cancelled, ChainStatus.CANCELLED),
        (ChainStatus.RUNNING, chain.Completed, ChainStatus.COMPLETED),
        (ChainStatus.RUNNING, chain.Failed, ChainStatus.FAILED),
        (ChainStatus.RUNNING, chain.Compensating, ChainStatus.COMPENSATING),
        (ChainStatus.COMPENSATING, chain.StepCompensating, ChainStatus.COMPENSATING),
        (ChainStatus.COMPENSATING, chain.StepCompensated, ChainStatus.COMPENSATING),
        (ChainStatus.COMPENSATING, chain.Failed, ChainStatus.FAILED),
        (ChainStatus.COMPENSATING, chain.Compensated, ChainStatus.COMPENSATED),
        (ChainStatus.COMPLETED, chain.Compensating, ChainStatus.COMPENSATING),
        (ChainStatus.FAILED, chain.Compensating, ChainStatus.COMPENSATING),
        (ChainStatus.CANCELLED, chain.Compensating, ChainStatus.COMPENSATING),
    },
    Execution: {
        (None, execution.Requested, ExecutionStatus.REQUESTED),
        (ExecutionStatus.REQUESTED, execution.Planned, ExecutionStatus.RUNNING),
        (ExecutionStatus.REQUESTED, execution.PlanningFailed, ExecutionStatus.RUNNING),
        (ExecutionStatus.RUNNING, execution.Planned, ExecutionStatus.RUNNING),
        (ExecutionStatus.RUNNING, execution.PlanningFailed, ExecutionStatus.RUNNING),
        (ExecutionStatus.REQUESTED, execution.Paused, ExecutionStatus.PAUSED),
        (ExecutionStatus.RUNNING, execution.Paused, ExecutionStatus.PAUSED),
        (ExecutionStatus.PAUSED, execution.Resumed, ExecutionStatus.RUNNING),
        (ExecutionStatus.REQUESTED, execution.Retuned, ExecutionStatus.REQUESTED),
        (ExecutionStatus.RUNNING, execution.Retuned, ExecutionStatus.RUNNING),
        (ExecutionStatus.PAUSED, execution.Retuned, ExecutionStatus.PAUSED),
        (ExecutionStatus.REQUESTED, execution.Cancelled, ExecutionStatus.CANCELLED),
        (ExecutionStatus.RUNNING, execution.Cancelled, ExecutionStatus.CANCELLED),
        (ExecutionStatus.PAUSED, execution.Cancelled, ExecutionStatus.CANCELLED),
        (ExecutionStatus.RUNNING, execution.Completed, ExecutionStatus.COMPLETED),
        (ExecutionStatus.PAUSED, execution.Completed, ExecutionStatus.COMPLETED),
        (ExecutionStatus.REQUESTED, execution.Failed, ExecutionStatus.FAILED),
        (ExecutionStatus.RUNNING, execution.Failed, ExecutionStatus.FAILED),
        (ExecutionStatus.PAUSED, execution.Failed, ExecutionStatus.FAILED),
        (ExecutionStatus.REQUESTED, execution.RollbackStarted, ExecutionStatus.ROLLING_BACK),
        (ExecutionStatus.RUNNING, execution.RollbackStarted, ExecutionStatus.ROLLING_BACK),
        (ExecutionStatus.PAUSED, execution.RollbackStarted, ExecutionStatus.ROLLING_BACK),
        (ExecutionStatus.ROLLING_BACK, execution.RolledBack, ExecutionStatus.ROLLED_BACK),
        (ExecutionStatus.ROLLING_BACK, execution.Failed, ExecutionStatus.FAILED),
        (ExecutionStatus.CANCELLED, execution.PlanningCancelled, ExecutionStatus.CANCELLED),
        (ExecutionStatus.FAILED, execution.PlanningCancelled, ExecutionStatus.FAILED),
        (ExecutionStatus.ROLLING_BACK, execution.PlanningCancelled, ExecutionStatus.ROLLING_BACK),
        (ExecutionStatus.ROLLED_BACK, execution.PlanningCancelled, ExecutionStatus.ROLLED_BACK),
    },
    Batch: {
        (None, batch.Planned, BatchStatus.PLANNED),
        (BatchStatus.PLANNED, batch.Completed, BatchStatus.COMPLETED),
        (BatchStatus.PLANNED, batch.Failed, BatchStatus.FAILED),
        (BatchStatus.PLANNED, batch.Split, BatchStatus.SPLIT),
        (BatchStatus.PLANNED, batch.Cancelled, BatchStatus.CANCELLED),
        (BatchStatus.PLANNED, batch.Started, BatchStatus.STARTED),
        (BatchStatus.STARTED, batch.Started, BatchStatus.STARTED),
        (BatchStatus.STARTED, batch.Completed, BatchStatus.COMPLETED),
        (BatchStatus.STARTED, batch.Failed, BatchStatus.FAILED),
        (BatchStatus.STARTED, batch.Cancelled, BatchStatus.CANCELLED),
        (BatchStatus.COMPLETED, batch.CompensationPlanned, BatchStatus.COMPENSATING),
        (BatchStatus.CANCELLED, batch.CompensationPlanned, BatchStatus.COMPENSATING),
        (BatchStatus.COMPENSATING, batch.CompensationStarted, BatchStatus.COMPENSATING),
        (BatchStatus.COMPENSATING, batch.Compensated, BatchStatus.COMPLETED),
        (BatchStatus.COMPENSATING, batch.CompensationFailed, BatchStatus.COMPLETED),
    },
    Undo: {
        (None, undo.Requested, UndoStatus.RUNNING),
        (UndoStatus.RUNNING, undo.Completed, UndoStatus.COMPLETED),
        (UndoStatus.RUNNING, undo.Failed, UndoStatus.FAILED),
    },
    RecordLock: {
        (None, record_lock.Awaited, RecordLockStatus.WAITING),
        (None, record_lock.Acquired, RecordLockStatus.HELD),
        (RecordLockStatus.WAITING, record_lock.Awaited, RecordLockStatus.WAITING),
        (RecordLockStatus.WAITING, record_lock.Acquired, RecordLockStatus.HELD),
        (RecordLockStatus.WAITING, record_lock.Released, RecordLockStatus.RELEASED),
        (RecordLockStatus.HELD, record_lock.Extended, RecordLockStatus.HELD),
        (RecordLockStatus.HELD, record_lock.Released, RecordLockStatus.RELEASED),
        (RecordLockStatus.HELD, record_lock.Broken, RecordLockStatus.BROKEN),
    },
    PreviewStream: {
        (None, preview.Made, PreviewStatus.MADE),
        (PreviewStatus.MADE, preview.Used, PreviewStatus.USED),
    },
    Schedule: {
        (None, schedule.Created, ScheduleStatus.ACTIVE),
        (ScheduleStatus.ACTIVE, schedule.Rescheduled, ScheduleStatus.ACTIVE),
        (ScheduleStatus.PAUSED, schedule.Rescheduled, ScheduleStatus.PAUSED),
        (ScheduleStatus.ACTIVE, schedule.Paused, ScheduleStatus.PAUSED),
        (ScheduleStatus.PAUSED, schedule.Resumed, ScheduleStatus.ACTIVE),
        (ScheduleStatus.ACTIVE, schedule.Cancelled, ScheduleStatus.CANCELLED),
        (ScheduleStatus.PAUSED, schedule.Cancelled, ScheduleStatus.CANCELLED),
        (ScheduleStatus.ACTIVE, schedule.Fired, ScheduleStatus.ACTIVE),
        (ScheduleStatus.PAUSED, schedule.Fired, ScheduleStatus.PAUSED),
        (ScheduleStatus.ACTIVE, schedule.Missed, ScheduleStatus.ACTIVE),
        (ScheduleStatus.PAUSED, schedule.Missed, ScheduleStatus.PAUSED),
        (ScheduleStatus.ACTIVE, schedule.FailedToFire, ScheduleStatus.ACTIVE),
        (ScheduleStatus.ACTIVE, schedule.Ended, ScheduleStatus.ENDED),
    },
    Rejection: {(None, command.Rejected, RejectionStatus.REJECTED)},
    Erasure: {(None, erasure.Done, ErasureStatus.ERASED)},
    Export: {
        (None, export.Requested, ExportStatus.REQUESTED),
        (ExportStatus.REQUESTED, export.Written, ExportStatus.WRITTEN),
        (ExportStatus.REQUESTED, export.Failed, ExportStatus.FAILED),
        (ExportStatus.REQUESTED, export.Cancelled, ExportStatus.CANCELLED),
        (ExportStatus.WRITTEN, export.Cleaned, ExportStatus.CLEANED),
    },
}
EVENTS = list(TOPICS.values())
STATES = [
    pytest.param(kind, state, id=f"{kind.__name__} {state}")
    for kind, states in AGGREGATES
    for state in (None, *states)
]


@pytest.mark.parametrize(("kind", "state"), STATES)
def test_every_pair(kind: type[Aggregate], state: StrEnum | None) -> None:
    for event in EVENTS:
        leads_on_or_is_refused(kind, state, event)


def leads_on_or_is_refused(
    kind: type[Aggregate], state: StrEnum | None, event: type[Event]
) -> None:
    ways = {(before, cause): after for before, cause, after in WAYS[kind]}
    version = 0 if state is None else 4
    aggregate = kind(uuid4(), version, state)
    happened = sample(event).model_copy(
        update={"originator_id": aggregate.id, "originator_version": version + 1}
    )
    fields = {
        name: getattr(happened, name)
        for name in event.model_fields
        if name not in Event.model_fields
    }
    if (state, event) in ways:
        assert aggregate.allows(event), event.TOPIC
        assert aggregate.trigger(event, happened.metadata, **fields) == happened
        assert aggregate.mutate(happened) == replace(
            aggregate, version=version + 1, status=ways[state, event]
        )
    else:
        assert not aggregate.allows(event), event.TOPIC
        with pytest.raises(InvalidTransition, match=event.TOPIC):
            aggregate.trigger(event, METADATA, **fields)
        with pytest.raises(InvalidTransition, match=event.TOPIC):
            aggregate.mutate(happened)


def test_every_event_belongs_to_one_aggregate() -> None:
    owners = [event for ways in WAYS.values() for event in {cause for _, cause, _ in ways}]
    assert sorted(event.TOPIC for event in owners) == sorted(TOPICS)


@pytest.mark.parametrize(("kind", "states"), AGGREGATES)
def test_every_state_can_be_reached(kind: type[Aggregate], states: type[StrEnum]) -> None:
    assert {after for _, _, after in WAYS[kind]} == set(states)


@pytest.mark.parametrize(("offset", "stranger"), [(0, False), (2, False), (1, True)])
def test_an_event_out_of_place_is_refused(offset: int, *, stranger: bool) -> None:
    """A version twice, one left out, or another stream's event."""
    aggregate = Batch(uuid4(), 1, BatchStatus.PLANNED)
    event = sample(batch.Completed).model_copy(
        update={
            "originator_id": uuid4() if stranger else aggregate.id,
            "originator_version": aggregate.version + offset,
        }
    )
    with pytest.raises(InvalidTransition):
        aggregate.mutate(event)


def test_replay() -> None:
    new = Execution.new(uuid4())
    fields = sample(execution.Requested).model_dump(exclude=set(Event.model_fields))
    requested = new.trigger(execution.Requested, METADATA, **fields)
    planned = new.mutate(requested).trigger(
        execution.Planned, METADATA, batches=0, records=0, plan_digest="00" * 32
    )
    running = new.mutate(requested).mutate(planned)
    completed = running.trigger(execution.Completed, METADATA, tally=Tally())
    replayed = Execution.project(None, [requested, planned, completed])
    assert replayed == running.mutate(completed)
    assert replayed is not None
    assert (replayed.version, replayed.status) == (3, ExecutionStatus.COMPLETED)
    assert Execution.project(None, []) is None
    assert Execution.project(running, [completed]) == replayed


def test_the_stream_of_a_lock_is_the_executions_own() -> None:
    first, second = uuid4(), uuid4()
    assert record_lock_id(first) == record_lock_id(first) != record_lock_id(second)
    assert record_lock_id(first) != first


def test_aggregates_do_not_change() -> None:
    aggregate = Batch.new(uuid4())
    with pytest.raises(AttributeError):
        aggregate.version = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
