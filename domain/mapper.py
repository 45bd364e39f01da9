"""Events to stored bytes and back, validated both ways.

The library's stock mapper rebuilds an event by its ``__dict__``, without validation, and names it by its
module path. This one goes through pydantic and through the table of topics.
"""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, StoredEvent
from pydantic_core import from_json

from .errors import UnknownTopic
from .event import Event
from .topics import TOPICS
from .upcasters import UPCASTERS, Upcaster

_VERSION = "v"


class EventMapper(Mapper[UUID]):
    """Writes the fields as JSON; the place in the stream has columns of its own."""

    def __init__(
        self,
        topics: Mapping[str, type[Event]] = TOPICS,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    ) -> None:
        self._topics = topics
        self._upcasters = upcasters

    def to_stored_event(self, domain_event: DomainEventProtocol[UUID]) -> StoredEvent:
        """Serialise an event; from its second version on, the version is written with it."""
        event = cast("Event", domain_event)
        state = event.model_dump_json(exclude={"originator_id", "originator_version"}).encode()
        if event.VERSION > 1:
            state = b'{"%s":%d,%s' % (_VERSION.encode(), event.VERSION, state[1:])
        return StoredEvent(
            originator_id=event.originator_id,
            originator_version=event.originator_version,
            topic=event.TOPIC,
            state=state,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Read an event of any version. Raises UnknownTopic, and pydantic's error for a bad body."""
        kind = self._topics.get(stored_event.topic)
        if kind is None:
            raise UnknownTopic(topic=stored_event.topic)
        fields: dict[str, Any] = from_json(stored_event.state)
        for version in range(fields.pop(_VERSION, 1), kind.VERSION):
            fields = self._upcasters[stored_event.topic, version](fields)
        fields["originator_id"] = stored_event.originator_id
        fields["originator_version"] = stored_event.originator_version
        event = kind.model_validate(fields)
        return cast("DomainEventProtocol[UUID]", event)
