"""The record lock: an execution's claim on its records, from gated planning to its end.

Its key sets are the lock: there is no row per record. Its stream's id is made from the execution's.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar
from uuid import UUID, uuid5

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Event

_NAMESPACE = UUID("6f1f5d0e-2f43-5d7a-9b60-4d2a1c8e7b35")


def record_lock_id(execution_id: UUID) -> UUID:
    """Name the stream of an execution's lock."""
    return uuid5(_NAMESPACE, str(execution_id))


class LockEvent(Event):
    """Every event of a lock names the execution that owns it."""

    execution_id: UUID


class Acquired(LockEvent):
    """The execution owns these records until it ends."""

    TOPIC = "record_lock.acquired"

    table: str
    records: int = Field(ge=1)


class Released(LockEvent):
    """The execution came to its end."""

    TOPIC = "record_lock.released"


class Broken(LockEvent):
    """Somebody took the lock away; no batch of the owner writes after this."""

    TOPIC = "record_lock.broken"


class RecordLockStatus(StrEnum):
    """Where a lock stands."""

    HELD = "held"
    RELEASED = "released"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class RecordLock(Aggregate):
    """The stream of one execution's lock."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Acquired): RecordLockStatus.HELD,
        (RecordLockStatus.HELD, Released): RecordLockStatus.RELEASED,
        (RecordLockStatus.HELD, Broken): RecordLockStatus.BROKEN,
    }
