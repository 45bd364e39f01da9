"""The erasure of an actor's contact data: the command, and the stream of one event that says it was done."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .commands import Command
from .event import Event
from .text import Name


class EraseActor(Command):
    """Delete all contact data of an actor. The ids stay, and so do all events."""

    type: Literal["erase_actor"] = "erase_actor"
    whose: Name
    """The actor's subject."""
    issuer: Name | None = None
    """Of the actor; None is the one without an issuer."""


class Done(Event):
    """Contact data was deleted: the digests of it that earlier events carry lead to nothing any more."""

    TOPIC = "erasure.done"

    whose: str
    issuer: str | None
    contacts: int = Field(ge=0)
    """How many commands' contact data that was."""


class ErasureStatus(StrEnum):
    """Where an erasure stands: there is no way back from it."""

    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Erasure(Aggregate):
    """A stream of one event; its id is the command's."""

    TRANSITIONS: ClassVar[Transitions] = {(None, Done): ErasureStatus.ERASED}
