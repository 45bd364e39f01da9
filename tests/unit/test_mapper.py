"""Events to stored bytes and back: every topic, every version that was ever stored, and what cannot be read."""

import json
from typing import Any, cast
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent
from pydantic import ValidationError

from action_ledger.domain.errors import UnknownTopic
from action_ledger.domain.event import Event
from action_ledger.domain.mapper import EventMapper
from action_ledger.domain.topics import TOPICS
from tests.events import METADATA, STREAM, sample, samples, stored, version_of


def store(event: Event, mapper: EventMapper | None = None) -> StoredEvent:
    return (mapper or EventMapper()).to_stored_event(cast("Any", event))


@pytest.mark.parametrize("topic", TOPICS)
def test_round_trip(topic: str) -> None:
    event = sample(TOPICS[topic])
    there = store(event)
    assert there.topic == topic
    assert (there.originator_id, there.originator_version) == (STREAM, 3)
    assert EventMapper().to_domain_event(there) == cast("Any", event)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_place_in_the_stream_is_not_in_the_body(topic: str) -> None:
    body = json.loads(store(sample(TOPICS[topic])).state)
    assert not body.keys() & {"originator_id", "originator_version", "topic", "timestamp"}


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=f"{row['topic']} v{version_of(row)}") for row in samples()]
)
def test_a_stored_sample_is_read_as_ever(row: dict[str, Any]) -> None:
    """Each field that it had then is what it was, but where an upcaster has made another of it."""
    event = cast("Event", EventMapper().to_domain_event(stored(row)))
    assert row["topic"] == event.TOPIC
    assert str(event.originator_id) == row["originator_id"]
    if version_of(row) == event.VERSION:
        read = event.model_dump(mode="json")
        state = {name: value for name, value in row["state"].items() if name != "v"}
        assert {name: read[name] for name in state} == state


def test_every_topic_and_version_has_a_sample() -> None:
    """Missing ones are added by ``python -m tests.events``; none is ever changed."""
    wanted = {(t, v) for t, kind in TOPICS.items() for v in range(1, kind.VERSION + 1)}
    assert {(row["topic"], version_of(row)) for row in samples()} == wanted


def test_topics_are_distinct_and_named_after_their_stream() -> None:
    assert len(TOPICS) == len(set(TOPICS.values()))
    for topic, kind in TOPICS.items():
        assert topic == kind.TOPIC
        assert topic.partition(".")[0] == kind.__module__.rpartition(".")[2]


def test_an_unknown_topic_is_a_typed_error() -> None:
    with pytest.raises(UnknownTopic) as raised:
        EventMapper().to_domain_event(StoredEvent(STREAM, 1, "batch.vanished", b"{}"))
    assert raised.value.topic == "batch.vanished"


@pytest.mark.parametrize(
    "state",
    [
        b"{}",
        b"not json",
        b"[]",
        b'{"metadata": null}',
        b'{"execution_id": "01890a5d-ac96-774b-bcce-b302099a8057", "surprise": 1}',
    ],
)
def test_a_bad_body_is_not_taken_for_an_event(state: bytes) -> None:
    with pytest.raises((ValidationError, ValueError, TypeError)):
        EventMapper().to_domain_event(StoredEvent(STREAM, 1, "record_lock.released", state))


class Third(Event):
    """An event in its third version: ``colour`` was ``color`` in the first, ``shade`` came with the third."""

    TOPIC = "test.third"
    VERSION = 3

    colour: str
    shade: int


def upcast(steps: list[int]) -> EventMapper:
    def to_second(fields: dict[str, Any]) -> dict[str, Any]:
        steps.append(1)
        fields["colour"] = fields.pop("color")
        return fields

    def to_third(fields: dict[str, Any]) -> dict[str, Any]:
        steps.append(2)
        return {**fields, "shade": len(fields["colour"])}

    return EventMapper(
        {Third.TOPIC: Third}, {(Third.TOPIC, 1): to_second, (Third.TOPIC, 2): to_third}
    )


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"color": "red"}, [1, 2]),
        ({"v": 1, "color": "red"}, [1, 2]),
        ({"v": 2, "colour": "red"}, [2]),
        ({"v": 3, "colour": "red", "shade": 3}, []),
    ],
)
def test_upcasters_go_step_by_step_before_validation(
    fields: dict[str, Any], taken: list[int]
) -> None:
    steps: list[int] = []
    state = json.dumps({"metadata": METADATA.model_dump(mode="json"), **fields}).encode()
    event = upcast(steps).to_domain_event(StoredEvent(STREAM, 1, Third.TOPIC, state))
    assert steps == taken
    assert cast("Any", event) == Third(
        originator_id=STREAM, originator_version=1, metadata=METADATA, colour="red", shade=3
    )


def test_later_versions_say_so() -> None:
    event = Third(
        originator_id=UUID(int=1), originator_version=1, metadata=METADATA, colour="red", shade=3
    )
    mapper = upcast([])
    there = store(event, mapper)
    assert json.loads(there.state)["v"] == 3
    assert mapper.to_domain_event(there) == cast("Any", event)
