"""What every event has in common: its place in its stream, and who and what caused it."""

from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, hexadecimal, of bulk data that lies apart from the events: over its random salt and its fields."""


class Metadata(BaseModel):
    """Who asked, and how this event hangs together with others.

    ``actor`` is the subject. Issuer, ``on_behalf_of`` and ``contact`` are in the events that a command itself became;
    what followed from those names the subject, and leads there.
    ``correlation_id`` is shared by everything that one request set in motion; ``causation_id`` is the
    command or the event that led to this one. ``traceparent`` is the W3C trace context of the request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    actor: str
    correlation_id: UUID
    causation_id: UUID
    traceparent: str | None = None
    issuer: str | None = None
    on_behalf_of: str | None = None
    contact: Digest | None = None
    """Of from where it was asked."""

    @model_serializer(mode="wrap")
    def _of_few_words(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Say nothing of what most events do not have."""
        said: dict[str, Any] = handler(self)
        for name in ("issuer", "on_behalf_of", "contact"):
            if said[name] is None:
                del said[name]
        return said


class Event(BaseModel):
    """A fact: immutable, small, and free of record data.

    There is no time in it: the database stamps ``recorded_at`` when the event is appended, and that is
    the only time that anything is decided by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    TOPIC: ClassVar[str]
    VERSION: ClassVar[int] = 1
    """Of the event's fields. When it grows, an upcaster in ``upcasters.py`` leads from the older one."""

    originator_id: UUID
    originator_version: int = Field(ge=1)
    metadata: Metadata


class Tally(BaseModel):
    """How many records came to which end. The three never overlap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    applied: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)

    @property
    def processed(self) -> int:
        """Every record that came to an end, whichever."""
        return self.applied + self.failed + self.skipped

    @property
    def behind(self) -> int:
        """Every record that was left as it is, or failed."""
        return self.failed + self.skipped

    def __add__(self, other: "Tally") -> "Tally":
        """Count both together."""
        return Tally(
            applied=self.applied + other.applied,
            failed=self.failed + other.failed,
            skipped=self.skipped + other.skipped,
        )
