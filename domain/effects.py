"""Effects: actions of the host's own that reach outside of the database, such as an e-mail or an HTTP call.

An effect is known as any other action is, by what it is registered with; its handler is called by the workers,
once a record, and at least once: a worker that dies between the call and the note of it leaves a record to be
called for again, under the same idempotency key.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID, uuid5

from .actions import Action, Reversibility

MOST_AT_ONCE = 1_000
"""Calls of one batch that may be under way at a time."""
LONGEST_CALL = 3_600.0
"""Seconds that a handler may be given for one record."""


@dataclass(frozen=True, slots=True)
class EffectContext:
    """What a handler may want to know beside the record.

    ``idempotency_key`` is the same in every attempt at this record of this execution (or of this undo): give it to
    a service that knows such keys, and a second call does nothing. ``attempt`` counts the leases of the batch.
    """

    execution_id: UUID
    undo_id: UUID | None
    batch_id: UUID
    key: tuple[str, ...]
    """The record's key, as PostgreSQL's text, one a key column."""
    idempotency_key: UUID
    attempt: int


Record = Mapping[str, Any]
"""The record by column: numbers, truth values, texts, UUIDs and JSON as Python's, times with a zone as ISO 8601 has
them, anything else as PostgreSQL's text."""
Handler = Callable[[Record, Any, EffectContext], Awaitable[Any] | Any]
"""Takes the record, the action's parameters and the context. What it returns is kept, as JSON; to raise, or to
return False, is to say that the record failed."""
Compensate = Callable[[Record, Any, Any, EffectContext], Awaitable[Any] | Any]
"""The same with what the handler had returned before the context. A record that is gone has its key columns only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect(Action):
    """An action whose work is done by a handler, a plain function or an ``async`` one.

    Raises InvalidAction when its parts do not go together.
    """

    kind: ClassVar[str] = "effect"

    reversibility: Reversibility = Reversibility.IRREVERSIBLE
    handler: Handler
    compensate: Compensate | None = None
    concurrency: int = 1
    """Calls under way at a time, within a batch."""
    timeout: float = 30.0
    """Seconds for one call. A plain function that takes longer cannot be stopped: its end is no longer waited for."""
    columns: tuple[str, ...] | None = None
    """The columns that the record is read with, beside its key; None means all."""

    def __post_init__(self) -> None:
        """Check what a type cannot say."""
        Action.__post_init__(self)
        self.require_call(self.handler, "record", "parameters", "context", is_async=True)
        if self.compensate is not None:
            taken = ("record", "parameters", "result", "context")
            self.require_call(self.compensate, *taken, is_async=True)
        if self.reversibility is Reversibility.REVERSIBLE:
            self.refuse("no change set brings an effect back; it is compensable or irreversible")
        if (self.reversibility is Reversibility.COMPENSABLE) != (self.compensate is not None):
            self.refuse("it is compensable if, and only if, it has a compensate")
        if not 1 <= self.concurrency <= MOST_AT_ONCE:
            self.refuse(f"concurrency is from 1 to {MOST_AT_ONCE:,}")
        if not 0 < self.timeout <= LONGEST_CALL:
            self.refuse(f"timeout is more than 0 and at most {LONGEST_CALL:,.0f} seconds")


def idempotency_key(job_id: UUID, key: Sequence[str]) -> UUID:
    """Name what one execution, or one undo, does to one record: the same however often it is tried."""
    return uuid5(job_id, json.dumps(list(key)))
