"""The stream of a command that was turned away: the audit knows of it, although nothing came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from .aggregate import Aggregate, Transitions
from .event import Event


class Rejected(Event):
    """A command was turned away.

    What it said, and the error in words, lie apart. ``subject`` is the id of what it would have become, or of what
    it would have acted on.
    """

    TOPIC = "command.rejected"

    command: str
    """Its type, such as ``request_execution``."""
    subject: UUID
    error: str
    """A stable code of the error tree, or an SQLSTATE."""


class RejectionStatus(StrEnum):
    """Where a rejection stands: there is no way back from it."""

    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Rejection(Aggregate):
    """A stream of one event. The command's own id stays free: sent again, it may be taken in."""

    TRANSITIONS: ClassVar[Transitions] = {(None, Rejected): RejectionStatus.REJECTED}


def subject_of(command: Mapping[str, Any]) -> UUID:
    """Give the id of what a command, as JSON values, would become or would act on."""
    about = (command.get(name) for name in ("execution_id", "schedule_id", "chain_id"))
    return UUID(next(filter(None, about), command["command_id"]))
