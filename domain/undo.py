"""The undo: the compensation of an execution, of some of its batches, or of some of its records.

A redo is the undo of an undo: the same stream, with ``of_undo`` set.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Digest, Event, Tally
from .hooks import Notify


class ConflictPolicy(StrEnum):
    """What an undo does with a record that somebody changed since."""

    SKIP = "skip"
    """Leave it, list it with the recorded and the current value, bring the others back."""
    FAIL = "fail"
    """Refuse the whole undo before anything is written."""
    FORCE = "force"
    """Bring it back over the later change, which the undo's own change set keeps."""
    MERGE = "merge"
    """Bring back those of its columns that nobody changed since, and list the others with both values."""


class UndoEvent(Event):
    """Every event of an undo names the execution that it takes back."""

    execution_id: UUID


class Requested(UndoEvent):
    """Somebody asked for it. ``of_undo`` names the undo that this one redoes, ``columns`` what alone is taken back."""

    TOPIC = "undo.requested"

    of_undo: UUID | None
    policy: ConflictPolicy
    batches: int = Field(ge=1)
    records: int = Field(ge=0)
    body_digest: Digest
    queue: str
    priority: int
    columns: tuple[str, ...] | None = None
    notify: Notify | None = None


class Completed(UndoEvent):
    """Every batch of it has come to its end.

    ``tally.skipped`` counts the conflicts and what triggers kept, ``tally.failed`` what the database refused.
    """

    TOPIC = "undo.completed"

    tally: Tally


class Failed(UndoEvent):
    """Every batch of it has come to its end, and some could not be taken back at all.

    ``error`` is a stable code of the error tree, or an SQLSTATE. What came back stays, and what did not can be
    undone again.
    """

    TOPIC = "undo.failed"

    error: str
    tally: Tally


class UndoStatus(StrEnum):
    """Where an undo stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    """It came to its end; its tally says whether records stayed behind."""
    FAILED = "failed"
    """Whole batches could not be taken back."""

    @property
    def ended(self) -> bool:
        """Nothing more will be brought back by it."""
        return self is not UndoStatus.RUNNING


@dataclass(frozen=True, slots=True)
class Undo(Aggregate):
    """The stream of one undo."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Requested): UndoStatus.RUNNING,
        (UndoStatus.RUNNING, Completed): UndoStatus.COMPLETED,
        (UndoStatus.RUNNING, Failed): UndoStatus.FAILED,
    }
