"""What a preview tells, and how far it goes to find out."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from .trial import Trial


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """How far a preview goes."""

    records: int = 10_000
    """So many are tried at most."""
    lock_timeout_ms: int = 2_000
    """How long it waits for a lock that others hold."""
    statement_seconds: float | None = None
    silence: float | None = None
    """After so many seconds without a word of it the server ends it, as it does a worker."""
    ttl_seconds: float = 900
    """How long its token is good."""


class Note(StrEnum):
    """What is to be known of a preview beside its numbers."""

    SAMPLE = "sample"
    """There are more records than it tries."""
    HELD = "held"
    """Others hold what it wanted to try, so nothing was tried."""
    EFFECT = "effect"
    """The action reaches outside of the database, and that was not tried."""
    KEYS = "keys"
    """Keys would change, of more records than it tries; a part of them says nothing."""
    STOPS = "stops"
    """So many records fail that the policy for failures would stop the run."""
    SEQUENCES = "sequences"
    """Triggers were fired, or other tables written: sequences may have advanced, and stay so."""


def extent(*, effect: bool, held: bool, exact: bool, tried: int) -> Iterator[Note]:
    """Say why less than all was tried, where it was."""
    if effect:
        yield Note.EFFECT
    elif held:
        yield Note.HELD
    elif not exact:
        yield Note.SAMPLE if tried else Note.KEYS


class Preview(Trial):
    """What a run would do, as it stood when somebody looked: what came of a trial, and what follows from that.

    ``change_bytes`` is scaled up to the whole change set, where only some were tried. ``count`` counts keys that were given but are not in the table too. ``sample`` are the first records in key
    order as they are now, ``changes`` the first that would change. Values are PostgreSQL's text of them.
    """

    id: UUID
    token: str
    plan_hash: str
    action: str
    table: str
    count: int
    batches: int
    exact: bool
    """Whether all of them were tried: then a run comes to the same numbers, unless something changes in between."""
    expected_seconds: float | None
    """Of the whole run by one worker, at the pace of what was tried; None where nothing was."""
    undo_seconds: int | None
    """How long it can be undone after its end; None for never."""
    undo_until: datetime | None
    """About until when, if it ran now."""
    expires_at: datetime
    """The token is good until then."""
    notes: tuple[Note, ...]
    sample: list[dict[str, str | None]]
