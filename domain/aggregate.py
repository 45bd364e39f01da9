"""An aggregate is an id, a version and a state; a table says which event leads from which state to which.

The library's repository rebuilds one with :meth:`Aggregate.project` as its projector function. The same
class is made from an inline view's row where reading a whole stream would be waste.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Self, TypeVar
from uuid import UUID

from .event import Event, Metadata

E = TypeVar("E", bound=Event)


class InvalidTransition(Exception):  # noqa: N818 - it names what happened, as the tree of errors does
    """The state of an aggregate does not allow an event: a fault of the program, never of its user."""


Transitions = Mapping[tuple[StrEnum | None, type[Event]], StrEnum]
"""From (state, event) to the next state; the state None is that of a stream without events."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One stream: ``version`` is the number of its events, ``status`` where they have led."""

    id: UUID
    version: int
    status: StrEnum | None

    TRANSITIONS: ClassVar[Transitions]

    @classmethod
    def new(cls, id: UUID) -> Self:  # noqa: A002 - the library's name for it
        """Begin a stream that has no event yet."""
        return cls(id=id, version=0, status=None)

    def allows(self, kind: type[Event]) -> bool:
        """Say whether an event of this kind may come next."""
        return (self.status, kind) in self.TRANSITIONS

    def trigger(self, kind: type[E], metadata: Metadata, **fields: object) -> E:
        """Make the stream's next event. Raises InvalidTransition when the table has no way for it."""
        self._next(kind)
        return kind.model_validate(
            {
                "originator_id": self.id,
                "originator_version": self.version + 1,
                "metadata": metadata,
                **fields,
            }
        )

    def mutate(self, event: Event) -> Self:
        """Take one event in. Raises InvalidTransition when the table has no way for it."""
        if event.originator_id != self.id or event.originator_version != self.version + 1:
            message = (
                f"{type(self).__name__} {self.id} is at version {self.version}, and "
                f"version {event.originator_version} of {event.originator_id} was given to it"
            )
            raise InvalidTransition(message)
        return replace(self, version=event.originator_version, status=self._next(type(event)))

    def _next(self, kind: type[Event]) -> StrEnum:
        try:
            return self.TRANSITIONS[self.status, kind]
        except KeyError:
            message = (
                f"{type(self).__name__} {self.id} is {self.status}: {kind.TOPIC} cannot follow"
            )
            raise InvalidTransition(message) from None

    @classmethod
    def project(cls, aggregate: Self | None, events: Iterable[Event]) -> Self | None:
        """Rebuild from events, in the form that the library's repository calls."""
        for event in events:
            aggregate = (aggregate or cls.new(event.originator_id)).mutate(event)
        return aggregate
