"""The library as it comes: its application, and its projection runner with one transaction an event."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from psycopg.sql import SQL, Identifier

from .site import Site

AT_ONCE = 500
"""Aggregates that are saved together, and events that are selected together."""


class Thing(Aggregate):
    """A new aggregate with one event, as in the library's own first example."""

    @event("Registered")
    def __init__(self, name: str) -> None:
        """Keep its name."""
        self.name = name


class Receipt(Aggregate):
    """An aggregate whose event says as much as the ledger's says of a batch."""

    @event("Completed")
    def __init__(
        self, execution: UUID, correlation: UUID, actor: str, digest: str, records: int
    ) -> None:
        """Keep it all."""
        self.execution = execution
        self.correlation = correlation
        self.actor = actor
        self.digest = digest
        self.records = records


class Ledgers(Application[UUID]):
    """The application whose events are selected, mapped and projected."""

    name = "stock"


class Counters(PostgresTrackingRecorder):
    """A view with one row an event, each written in a transaction of its own with its position."""

    def __init__(self, datastore: PostgresDatastore, **options: Any) -> None:
        super().__init__(datastore, **options)
        self._table = Identifier(datastore.schema, "counters")
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {} (id uuid PRIMARY KEY, records bigint NOT NULL)"
            ).format(self._table)
        )
        self._insert = SQL("INSERT INTO {} VALUES (%s, %s)").format(self._table)

    def count(self, id_: UUID, records: int, tracking: Tracking) -> None:
        """Write a row and the position."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(self._insert, (id_, records), prepare=True)
            self._insert_tracking(cursor, tracking)


class Counting(Projection[Counters]):
    """Counts, and notes when it did."""

    name = "counting"

    def __init__(self, view: Counters) -> None:
        super().__init__(view)
        self.times: list[float] = []

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Write what one event says."""
        self.view.count(domain_event.originator_id, 1, tracking)
        self.times.append(time.perf_counter())


@contextmanager
def stock_application(site: Site) -> Generator[Ledgers]:
    """Open the library's own application on the same database, in a schema of its own."""
    site.run("create_stock")
    application = Ledgers(env=stock_environment(site))
    try:
        yield application
    finally:
        application.close()


def fill(application: Ledgers, events: int) -> None:
    """Save so many events."""
    execution, correlation = uuid4(), uuid4()
    for start in range(0, events, AT_ONCE):
        application.save(
            *(
                Receipt(execution, correlation, "user:bench", "0" * 64, 10_000)
                for _ in range(start, min(start + AT_ONCE, events))
            )
        )


def select_and_map(application: Ledgers) -> int:
    """Read every event back, in blocks, as the library's readers do; give their number."""
    return sum(1 for _ in _mapped(application))


def _mapped(application: Ledgers) -> Iterator[object]:
    position = 0
    while block := application.recorder.select_notifications(
        position, AT_ONCE, inclusive_of_start=False
    ):
        for notification in block:
            yield application.mapper.to_domain_event(notification)
        position = block[-1].id


def project_one_by_one(site: Site, head: int) -> float:
    """Run the library's projection over the events there are; give the seconds an event took."""
    with ProjectionRunner(
        application_class=Ledgers,
        projection_class=Counting,
        view_class=Counters,
        env=stock_environment(site),
    ) as runner:
        runner.wait(head, timeout=600)
        projection = runner.projection
        assert isinstance(projection, Counting)
        return (projection.times[-1] - projection.times[0]) / (len(projection.times) - 1)


def stock_environment(site: Site) -> dict[str, str]:
    """Give the variables by which the library finds the database."""
    url = urlsplit(site.url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": unquote(url.path[1:]),
        "POSTGRES_HOST": parse_qs(url.query)["host"][0],
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "postgres",
        "POSTGRES_PASSWORD": "trusted",
        "POSTGRES_SCHEMA": "stock",
    }
