"""The stored samples of events: one of every topic and version, which must stay readable for ever.

``python -m tests.events`` adds samples for events that have none. One that is there is never changed.
"""

import json
from datetime import UTC, datetime
from enum import EnumType
from pathlib import Path
from typing import Any, cast, get_args
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from action_ledger.domain.chain import OnStepFailure, PlannedStep
from action_ledger.domain.event import Event, Metadata, Tally
from action_ledger.domain.hooks import Notify
from action_ledger.domain.mapper import EventMapper
from action_ledger.domain.topics import TOPICS

FILE = Path(__file__).parent / "samples" / "events.json"
STREAM = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
OTHER = UUID("01890a5d-ac96-7ab2-80d2-a2c1d7f5f1ec")
METADATA = Metadata(
    actor="user:42",
    correlation_id=OTHER,
    causation_id=STREAM,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def sample(kind: type[Event]) -> Event:
    """Make an event of a kind, with every field set to something."""
    fields = {
        name: _value(name, field.annotation)
        for name, field in kind.model_fields.items()
        if name not in Event.model_fields
    }
    return kind.model_validate(
        {"originator_id": STREAM, "originator_version": 3, "metadata": METADATA, **fields}
    )


def _value(name: str, annotation: Any) -> object:
    """Give a field a value that its type allows: the first member of an enumeration or a union."""
    if name.endswith("digest"):
        return "0f" * 32
    by_name: dict[str, object] = {
        "sqlstates": {"23505": 2},
        "excepted": ("score",),
        "reached": {"public.visits": 3},
        "children": {"public.visits": Tally(applied=7, failed=2, skipped=1)},
        "parts": (STREAM, OTHER),
        "steps": (PlannedStep(action="text", table="text", on_failure=OnStepFailure.STOP),),
        "waits_for": (STREAM, OTHER),
        "owners": (str(OTHER),),
        "columns": ("id", "score"),
        "plan_hash": "0f" * 32,
        "skipped": {"no_longer_matches": 1},
    }
    by_type: dict[object, object] = {
        Tally: Tally(applied=7, failed=2, skipped=1),
        UUID: OTHER,
        bool: True,
        int: 5,
        str: "text",
        float: 0.5,
        Notify: Notify(progress="text", complete="text", failure="text"),
        datetime: datetime(2027, 3, 28, 1, 30, tzinfo=UTC),
    }
    if name in by_name:
        return by_name[name]
    kind = get_args(annotation)[0] if get_args(annotation) else annotation
    if kind in by_type:
        return by_type[kind]
    return next(iter(kind)) if isinstance(kind, EnumType) else kind


def as_row(event: Event) -> dict[str, Any]:
    """Give the stored form of an event, to be kept in the file."""
    there = EventMapper().to_stored_event(cast("Any", event))
    return {
        "topic": there.topic,
        "originator_id": str(there.originator_id),
        "originator_version": there.originator_version,
        "state": json.loads(there.state),
    }


def stored(row: dict[str, Any]) -> StoredEvent:
    """Make a stored event of a sample again."""
    state = json.dumps(row["state"]).encode()
    return StoredEvent(UUID(row["originator_id"]), row["originator_version"], row["topic"], state)


def version_of(row: dict[str, Any]) -> int:
    """Tell the version that a sample was written in: the first does not say."""
    return int(row["state"].get("v", 1))


def samples() -> list[dict[str, Any]]:
    """Read the file."""
    rows: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return rows


def main() -> None:
    """Add what is missing."""
    rows = samples()
    there = {(row["topic"], version_of(row)) for row in rows}
    rows += [
        as_row(sample(kind)) for topic, kind in TOPICS.items() if (topic, kind.VERSION) not in there
    ]
    FILE.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
