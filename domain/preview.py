"""The preview: what a run would do, found by doing it and rolling it back; and the one run that it may confirm."""

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .commands import RequestExecution
from .event import Digest, Event, Tally

_HOW = frozenset(
    {
        *("type", "command_id", "actor", "reason", "correlation_id", "retry_of", "confirmation"),
        *("queue", "priority", "batch_size", "planning", "rate", "concurrency", "adaptive"),
    }
)
"""What a command says of who asks, and of how and when the work is done: not of what comes of it."""
_TOKEN = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.([0-9a-f]{16})")


class Made(Event):
    """Somebody looked first. Everything that was tried was rolled back before this was recorded.

    The request lies apart (``request_bodies``); ``body_digest`` fixes it. ``request_digest`` and ``plan_hash`` are
    without a salt: equal requests, and equal plans, have equal ones.
    """

    TOPIC = "preview.made"

    action: str
    table: str
    """Schema-qualified, as PostgreSQL would quote it."""
    selection: Literal["where", "keys", "everything", "unfinished"]
    body_digest: Digest
    request_digest: Digest
    """Over action, table, parameters, selection, and the options that change what is done."""
    plan_hash: Digest
    """Over that, and the keys that were found."""
    records: int = Field(ge=0)
    """How many were found."""
    tried: int = Field(ge=0)
    """To how many the action was applied, for a look."""
    exact: bool
    """Whether that were all of them, so that the tally is what the run would come to."""
    tally: Tally
    skipped: dict[str, int]
    """By reason."""
    sqlstates: dict[str, int]
    """Of the failed ones."""
    change_bytes: int | None = Field(ge=0)


class Used(Event):
    """Its token confirmed an execution: it confirms no other."""

    TOPIC = "preview.used"

    execution_id: UUID


class PreviewStatus(StrEnum):
    """Whether a preview can still confirm a run. That it gets too old is no event."""

    MADE = "made"
    USED = "used"


@dataclass(frozen=True, slots=True)
class PreviewStream(Aggregate):
    """The stream of one preview."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Made): PreviewStatus.MADE,
        (PreviewStatus.MADE, Used): PreviewStatus.USED,
    }


def request_digest(command: RequestExecution, table: str) -> str:
    """Give SHA-256 over what a command would do, to whichever records it finds in a table.

    Keys that are given are left out: they count as the keys that are found. What is as by default is left out, so
    that an option of a later release does not make it another.
    """
    said = command.model_dump(mode="json", exclude=set(_HOW))
    for name, field in type(command).model_fields.items():
        if name in said and getattr(command, name) == field.get_default(call_default_factory=True):
            del said[name]
    said["resource"]["table"] = table
    if command.selection.kind == "keys":
        said["selection"] = "keys"
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def plan_hash(request: str, keys_digest: str) -> str:
    """Give SHA-256 over a request's digest and that of the keys it found."""
    return hashlib.sha256(f"{request}{keys_digest}".encode()).hexdigest()


def token_of(preview_id: UUID, hash_: str) -> str:
    """Give a preview's token: its id and the beginning of its plan hash. It holds no secret."""
    return f"{preview_id}.{hash_[:16]}"


def read_token(token: object) -> tuple[UUID, str] | None:
    """Take a token apart into the preview's id and the beginning of its plan hash; None for what is none."""
    found = _TOKEN.fullmatch(token) if isinstance(token, str) else None
    return None if found is None else (UUID(found[1]), found[2])
