"""Commands: what somebody asks the ledger to do. Frozen, validated, JSON in and out."""

import hashlib
import json
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from .resource import Resource
from .selection import KeyValue, Selection
from .undo import ConflictPolicy


def _storable(text: str) -> str:
    if "\0" in text:
        message = "PostgreSQL text cannot hold the character NUL"
        raise ValueError(message)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        message = "it is not valid Unicode (a lone surrogate)"
        raise ValueError(message) from error
    return text


Text = Annotated[str, AfterValidator(_storable)]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_storable),
]
Actor = Name
"""Who asks, as the host has verified it: ``user:42``."""

MAX_BATCH_SIZE = 100_000
DAY = 86_400
MAX_UNDO_SECONDS = 90 * DAY


class Command(BaseModel):
    """What all commands share. ``command_id`` makes a repeated send harmless: it becomes the stream's id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command_id: UUID
    actor: Actor
    reason: Text | None = None
    correlation_id: UUID | None = None
    queue: Name = "default"
    priority: int = Field(default=0, ge=-100, le=100)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that the command says, to tell it from another under the same id.

        What is as by default is left out, so that an option of a later release does not make it another.
        """
        said = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            if getattr(self, name) == field.get_default(call_default_factory=True):
                del said[name]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class RequestExecution(Command):
    """Run one action over one selection.

    ``undo_seconds`` is the undo window, counted from the execution's end; None makes it irreversible.
    ``frozen`` changes a planned record even if it no longer matches.
    """

    type: Literal["request_execution"] = "request_execution"
    resource: Resource
    action: str
    parameters: dict[str, Any]
    selection: Selection
    batch_size: int = Field(default=10_000, ge=1, le=MAX_BATCH_SIZE)
    planning: Literal["gated", "streaming"] = "gated"
    frozen: bool = False
    undo_seconds: int | None = Field(default=7 * DAY, ge=1, le=MAX_UNDO_SECONDS)


class RequestUndo(Command):
    """Take an execution back, or, with ``of_undo``, take an undo of it back (a redo).

    ``batches`` (numbers, from 1) and ``keys`` narrow it down; None means all.
    """

    type: Literal["request_undo"] = "request_undo"
    execution_id: UUID
    of_undo: UUID | None = None
    policy: ConflictPolicy = ConflictPolicy.SKIP
    batches: tuple[int, ...] | None = None
    keys: tuple[KeyValue, ...] | None = None


AnyCommand = Annotated[RequestExecution | RequestUndo, Field(discriminator="type")]
