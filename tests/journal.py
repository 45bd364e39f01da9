"""A projection for tests: it would show an event that was taken in twice, out of order, or not at all."""

from collections.abc import Callable
from typing import ClassVar
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import execution
from action_ledger.domain.event import Event, Metadata, Tally
from action_ledger.domain.execution import Execution
from action_ledger.ops import Ledger
from action_ledger.projections.projection import Recorded
from action_ledger.projections.register import ProjectionStatus
from action_ledger.projections.rows import Rows
from action_ledger.projections.store import Store

DIGEST = "0" * 64


class Journal:
    """One row an event, and for each stream a count that only ever adds."""

    name: ClassVar[str] = "journal"
    tables: ClassVar[dict[str, str]] = {"journal": "position", "tally": "stream"}

    def __init__(self, told: Callable[[Recorded], None] = lambda _: None) -> None:
        """``told`` is called with each event once its rows are made; what it raises the projection raises."""
        self._told = told

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        event = recorded.event
        if event.originator_version == 1:
            rows.put("tally", event.originator_id, {"events": 1})
        else:
            rows.add("tally", event.originator_id, events=1)
        rows.put(
            "journal",
            recorded.position,
            {
                "stream": event.originator_id,
                "version": event.originator_version,
                "topic": event.TOPIC,
            },
        )
        self._told(recorded)


def install(connection: Connection[DictRow]) -> None:
    """Make its tables, and its row in the register."""
    connection.execute(
        "CREATE TABLE action_ledger.view_journal_g1 (position bigint PRIMARY KEY, stream uuid NOT NULL,"
        " version bigint NOT NULL, topic text NOT NULL, UNIQUE (stream, version)) WITH (fillfactor = 60);"
        "CREATE TABLE action_ledger.view_tally_g1 (stream uuid PRIMARY KEY, events bigint NOT NULL);"
        "INSERT INTO action_ledger.projections (name, generation) VALUES ('journal', 1)"
    )


def story(actor: str = "a") -> list[Event]:
    """Give the three events of an execution that finds nothing to do."""
    id_ = uuid4()
    metadata = Metadata(actor=actor, correlation_id=id_, causation_id=id_)
    requested = Execution.new(id_).trigger(
        execution.Requested,
        metadata,
        action="update",
        table="public.places",
        selection="where",
        body_digest=DIGEST,
        batch_size=10,
        planning="gated",
        frozen=False,
        undo_seconds=None,
        queue="default",
        priority=0,
        on_failure="continue",
        max_failures=None,
        max_failure_ratio=None,
        rate=None,
        concurrency=None,
        retry_of=None,
    )
    running = Execution.new(id_).mutate(requested)
    planned = running.trigger(execution.Planned, metadata, batches=0, records=0, plan_digest=DIGEST)
    ended = running.mutate(planned).trigger(execution.Completed, metadata, tally=Tally())
    return [requested, planned, ended]


def append(store: Store, *events: Event) -> None:
    """Record events, in a transaction of their own."""
    with store.transaction() as transaction:
        transaction.append(*events)


def insert_by_hand(
    connection: Connection[DictRow], stream: UUID, topic: str, state: str, *, version: int = 1
) -> None:
    """Put something into the log that no program of this release would have written."""
    connection.execute(
        "INSERT INTO action_ledger.stored_events (originator_id, originator_version, topic, state)"
        " VALUES (%s, %s, %s, convert_to(%s, 'UTF8'))",
        [stream, version, topic, state],
    )


def status(ledger: Ledger, name: str = "journal") -> ProjectionStatus:
    return next(each for each in ledger.projections.status() if each.name == name)


def tallies(connection: Connection[DictRow]) -> dict[UUID, int]:
    rows = connection.execute("SELECT stream, events FROM action_ledger.view_tally_g1").fetchall()
    return {row["stream"]: row["events"] for row in rows}
