"""The batch: a slice of an execution's keys, and the unit of work, of transaction, of retry and of undo."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Digest, Event, Tally


class BatchEvent(Event):
    """Every event of a batch names its execution, so that a projection needs no look-up."""

    execution_id: UUID


class Planned(BatchEvent):
    """Keys were cut off for it: ``records`` of them, as batch ``number`` (from 1) of its execution."""

    TOPIC = "batch.planned"
    VERSION = 2
    """The second brought ``split_from``."""

    number: int = Field(ge=1)
    table: str
    records: int = Field(ge=1)
    keys_digest: Digest
    split_from: UUID | None
    """The batch whose keys these were, when it was split."""


class Started(BatchEvent):
    """A worker took its lease, to do what cannot be undone by a rollback: an effect outside of the database.

    ``epoch`` counts the leases of the batch, from 1: whoever holds an older one writes nothing any more.
    """

    TOPIC = "batch.started"

    number: int = Field(ge=1)
    epoch: int = Field(ge=1)
    attempt: int = Field(ge=1)
    worker: str


class Split(BatchEvent):
    """Its keys went to smaller batches of the same number, which take its place. ``reason`` says why."""

    TOPIC = "batch.split"

    number: int = Field(ge=1)
    records: int = Field(ge=2)
    parts: tuple[UUID, ...] = Field(min_length=2)
    reason: Literal["pace", "rate", "timed_out", "deadlock", "too_large"]


class Cancelled(BatchEvent):
    """Its execution was closed before it was done: its records stay as they were, and count as pending.

    What it had done by then outside of the database cannot be rolled back, so it counts: ``tally`` says of how
    many records, and the rest of ``records`` is pending for good.
    """

    TOPIC = "batch.cancelled"
    VERSION = 2
    """The second brought what had been done."""

    number: int = Field(ge=1)
    records: int = Field(ge=1)
    reason: Literal["cancelled", "failed", "rolling_back", "rolled_back"]
    """The state of the execution that closed it."""
    tally: Tally
    outcomes_digest: Digest | None
    effects_digest: Digest | None


class Completed(BatchEvent):
    """Its records were changed, in the same transaction that appended this.

    ``change_digest`` is None when no record was applied, ``outcomes_digest`` when all were. ``sqlstates``
    counts the failed ones by SQLSTATE. Of an effect there is no change set, but ``effects_digest``, over what
    was kept of each call. ``reached`` counts, by table, the rows that foreign keys took along: they are in the
    change set too, and not in the tally.
    """

    TOPIC = "batch.completed"
    VERSION = 2
    """The second brought ``effects_digest``."""

    number: int = Field(ge=1)
    tally: Tally
    change_digest: Digest | None
    outcomes_digest: Digest | None = None
    effects_digest: Digest | None = None
    sqlstates: dict[str, int] = Field(default_factory=dict)
    reached: dict[str, int] = Field(default_factory=dict)
    attempt: int = Field(ge=1)
    worker: str


class Failed(BatchEvent):
    """It could not be applied at all, for a reason that is no single record's: all its records failed.

    ``error`` is a stable code of the error tree, or an SQLSTATE. ``outcomes_digest`` is over the list of its
    records, each as failed; None where an earlier release kept no list.
    """

    TOPIC = "batch.failed"

    number: int = Field(ge=1)
    tally: Tally
    error: str
    outcomes_digest: Digest | None = None
    attempt: int = Field(ge=1)
    worker: str


class CompensationPlanned(BatchEvent):
    """An undo took it in: ``records`` of it are to be brought back under ``compensation_id``.

    What was done last is taken back first: ``ordinal`` is its place in that order, from 1. ``serial`` says that
    the undo's batches must be worked on one after the other, in it. Without records, only rows that had gone
    along with them are to come back.
    """

    TOPIC = "batch.compensation_planned"

    undo_id: UUID
    compensation_id: UUID
    number: int = Field(ge=1)
    records: int = Field(ge=0)
    ordinal: int = Field(ge=1)
    serial: bool


class CompensationStarted(BatchEvent):
    """A worker took the batch's lease to compensate an effect. The epoch goes on where ``batch.started`` left it."""

    TOPIC = "batch.compensation_started"

    undo_id: UUID
    compensation_id: UUID
    number: int = Field(ge=1)
    epoch: int = Field(ge=1)
    attempt: int = Field(ge=1)
    worker: str


class Compensated(BatchEvent):
    """Its records were brought back, or left alone for a reason that is listed.

    ``tally.skipped`` counts the conflicts. ``excepted`` names columns that did not come back bit for bit,
    since a trigger wrote them. ``children`` tells, by table, what became of the rows that foreign keys had taken
    along, which are not in the tally; ``reached`` counts those that the compensation itself took along.
    """

    TOPIC = "batch.compensated"
    VERSION = 2
    """The second brought ``effects_digest``."""

    undo_id: UUID
    compensation_id: UUID
    number: int = Field(ge=1)
    tally: Tally
    change_digest: Digest | None
    outcomes_digest: Digest | None = None
    effects_digest: Digest | None = None
    excepted: tuple[str, ...] = ()
    sqlstates: dict[str, int] = Field(default_factory=dict)
    children: dict[str, Tally] = Field(default_factory=dict)
    reached: dict[str, int] = Field(default_factory=dict)
    attempt: int = Field(ge=1)
    worker: str


class CompensationFailed(BatchEvent):
    """An undo of it could not be applied at all; its records stay as they were, listed as failed.

    Of an effect, some may have been compensated before: ``tally.applied`` counts them.
    """

    TOPIC = "batch.compensation_failed"

    undo_id: UUID
    compensation_id: UUID
    number: int = Field(ge=1)
    tally: Tally
    error: str
    outcomes_digest: Digest | None = None
    effects_digest: Digest | None = None
    attempt: int = Field(ge=1)
    worker: str


class BatchStatus(StrEnum):
    """Where a batch stands. What an undo brought back of it, its change sets tell record by record."""

    PLANNED = "planned"
    STARTED = "started"
    """A worker holds its lease, or held it last."""
    COMPLETED = "completed"
    FAILED = "failed"
    COMPENSATING = "compensating"
    SPLIT = "split"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Batch(Aggregate):
    """The stream of one batch. An undo, and its redo, come back to the completed state."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Planned): BatchStatus.PLANNED,
        (BatchStatus.PLANNED, Completed): BatchStatus.COMPLETED,
        (BatchStatus.PLANNED, Failed): BatchStatus.FAILED,
        (BatchStatus.PLANNED, Split): BatchStatus.SPLIT,
        (BatchStatus.PLANNED, Cancelled): BatchStatus.CANCELLED,
        (BatchStatus.PLANNED, Started): BatchStatus.STARTED,
        (BatchStatus.STARTED, Started): BatchStatus.STARTED,
        (BatchStatus.STARTED, Completed): BatchStatus.COMPLETED,
        (BatchStatus.STARTED, Failed): BatchStatus.FAILED,
        (BatchStatus.STARTED, Cancelled): BatchStatus.CANCELLED,
        (BatchStatus.COMPLETED, CompensationPlanned): BatchStatus.COMPENSATING,
        # What an effect had done before it was cancelled.
        (BatchStatus.CANCELLED, CompensationPlanned): BatchStatus.COMPENSATING,
        (BatchStatus.COMPENSATING, CompensationStarted): BatchStatus.COMPENSATING,
        (BatchStatus.COMPENSATING, Compensated): BatchStatus.COMPLETED,
        (BatchStatus.COMPENSATING, CompensationFailed): BatchStatus.COMPLETED,
    }
