"""The register of projections: their status, their rebuild and their verification, by name."""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import IsolationLevel

from action_ledger.domain.errors import UnknownProjection

from .follower import SQL, Follower, tracking_name
from .projection import Projection
from .rebuild import Rebuilt, Verified, Watch, rebuild
from .store import Store, Transaction
from .verify import verify


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """Where a projection stands. ``lag`` is in events; ``parked`` streams are those it could not read on with."""

    name: str
    inline: bool
    generation: int
    position: int
    head: int
    lag: int
    parked: int


class Projections:
    """All projections of a ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def status(self) -> list[ProjectionStatus]:
        """Say where each stands, all at one moment."""
        with self._store.transaction(IsolationLevel.REPEATABLE_READ) as transaction:
            head = self._store.head(transaction.cursor)
            return [self._status(transaction, each, head) for each in self._store.projections]

    def _status(
        self, transaction: Transaction, projection: Projection, head: int
    ) -> ProjectionStatus:
        generation = transaction.views.generations[projection.name]
        inline = projection in self._store.inline
        position = head
        if not inline:
            name = tracking_name(projection.name, generation)
            position = self._store.recorder.position(transaction.cursor, name)
        lag = transaction.execute(SQL["lag"], {"position": position}).fetchall()
        parked = transaction.execute(SQL["parked"], {"projection": projection.name}).fetchall()
        return ProjectionStatus(
            name=projection.name,
            inline=inline,
            generation=generation,
            position=position,
            head=head,
            lag=lag[0]["events"],
            parked=len(parked),
        )

    def rebuild(self, names: Iterable[str] = (), *, watch: Watch | None = None) -> list[Rebuilt]:
        """Build views anew from event one; all of them when none is named."""
        return [rebuild(self._store, projection, watch) for projection in self._chosen(names)]

    def verify(self, names: Iterable[str] = (), *, watch: Watch | None = None) -> list[Verified]:
        """Compare views with what the events make of them; all of them when none is named."""
        return [verify(self._store, projection, watch) for projection in self._chosen(names)]

    def catch_up(self) -> int:
        """Bring every followed view up to the head; give the number of events that the one farthest behind took in."""
        return max(
            Follower(self._store, projection).catch_up() for projection in self._store.followed
        )

    def _chosen(self, names: Iterable[str]) -> list[Projection]:
        """Look them all up, before anything is done with the first."""
        known = {projection.name: projection for projection in self._store.projections}
        chosen = tuple(names) or tuple(known)
        for name in chosen:
            if name not in known:
                raise UnknownProjection(projection=name, known=tuple(known))
        return [known[name] for name in chosen]
