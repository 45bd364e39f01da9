"""The record lock: an owner's claim on its records, from planning to its end.

The owner is an execution, or an undo. Its key sets are the lock: there is no row per record. The lock's stream has
an id that is made from the owner's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Event

_NAMESPACE = UUID("6f1f5d0e-2f43-5d7a-9b60-4d2a1c8e7b35")


def record_lock_id(owner_id: UUID) -> UUID:
    """Name the stream of an execution's lock, or of an undo's."""
    return uuid5(_NAMESPACE, str(owner_id))


class OnLocked(StrEnum):
    """What an execution does about records that somebody else has locked."""

    FAIL = "fail"
    """Nothing at all: it is refused, or it fails before anything is written."""
    SKIP = "skip"
    """Leave them, each listed as skipped with its owner, and do the others."""
    WAIT = "wait"
    """Wait until their owners have ended, in the order of asking, and plan then."""


def on_locked_by(planning: str) -> OnLocked:
    """Give what is done where nobody said: a streaming plan, half done by then, leaves locked records alone."""
    return OnLocked.SKIP if planning == "streaming" else OnLocked.FAIL


class LockEvent(Event):
    """Every event of a lock names the execution it is about; that is its owner, but where an undo is named."""

    execution_id: UUID
    undo_id: UUID | None = None
    """The undo that owns it."""

    @property
    def owner_id(self) -> UUID:
        """The execution or the undo whose lock it is."""
        return self.undo_id or self.execution_id


class Awaited(LockEvent):
    """Others hold some of its records: it waits until they have ended, and nobody may come in between."""

    TOPIC = "record_lock.awaited"

    table: str
    records: int = Field(ge=1)
    """All that it wants, as they were when it last looked."""
    waits_for: tuple[UUID, ...] = Field(min_length=1)
    """The owners that come first, or some of them where they are many: then it looks again."""


class Acquired(LockEvent):
    """The owner has these records until it ends."""

    TOPIC = "record_lock.acquired"

    table: str
    records: int = Field(ge=1)
    keys_of: UUID | None = None
    """Under whose id the key sets lie that are the lock; None is the owner's."""


class Extended(LockEvent):
    """It has further records too: a streaming plan takes them page by page."""

    TOPIC = "record_lock.extended"

    records: int = Field(ge=1)


class Released(LockEvent):
    """The owner came to its end."""

    TOPIC = "record_lock.released"


class Broken(LockEvent):
    """Somebody took the lock away; no batch of the owner writes after this."""

    TOPIC = "record_lock.broken"


class RecordLockStatus(StrEnum):
    """Where a lock stands."""

    WAITING = "waiting"
    HELD = "held"
    RELEASED = "released"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class RecordLock(Aggregate):
    """The stream of one owner's lock."""

    status: RecordLockStatus | None

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Awaited): RecordLockStatus.WAITING,
        (None, Acquired): RecordLockStatus.HELD,
        # It looked again, and others had come first: with the records it wants now.
        (RecordLockStatus.WAITING, Awaited): RecordLockStatus.WAITING,
        (RecordLockStatus.WAITING, Acquired): RecordLockStatus.HELD,
        # Stopped while it waited, or nothing was left to be done when its turn came.
        (RecordLockStatus.WAITING, Released): RecordLockStatus.RELEASED,
        (RecordLockStatus.HELD, Extended): RecordLockStatus.HELD,
        (RecordLockStatus.HELD, Released): RecordLockStatus.RELEASED,
        (RecordLockStatus.HELD, Broken): RecordLockStatus.BROKEN,
    }
