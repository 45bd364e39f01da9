"""What a projection is: a function of events to rows, with the tables that hold them."""

from datetime import datetime
from typing import ClassVar, NamedTuple, Protocol

from action_ledger.domain.event import Event

from .rows import Rows


class Recorded(NamedTuple):
    """An event as the ledger holds it: ``position`` in the one global order, ``recorded_at`` by its clock."""

    position: int
    recorded_at: datetime
    event: Event


class Projection(Protocol):
    """Written once; whether it runs inline or behind a follower is the wiring's affair."""

    name: ClassVar[str]
    """Its row in the register of projections."""
    tables: ClassVar[dict[str, str]]
    """The key column of each of its tables, by the table's name without its generation."""

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Say what one event does to the rows. It may not read anything but the event."""
        ...
