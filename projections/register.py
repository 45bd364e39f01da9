"""The register of projections: their status, their rebuild and their verification, by name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from action_ledger.domain.errors import UnknownProjection

from .follower import SQL, Follower, tracking_name
from .projection import Projection
from .rebuild import Rebuilt, Verified, Watch, rebuild, verify
from .store import Store


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
        """Say where each stands."""
        with self._store.transaction() as transaction:
            head = self._store.head(transaction.cursor)
            found: list[ProjectionStatus] = []
            for projection in self._store.projections:
                inline = projection in self._store.inline
                generation = transaction.views.generations[projection.name]
                name = tracking_name(projection.name, generation)
                position = (
                    head if inline else self._store.recorder.position(transaction.cursor, name)
                )
                parked = transaction.execute(
                    SQL["parked"], {"projection": projection.name}
                ).fetchall()
                found.append(
                    ProjectionStatus(
                        name=projection.name,
                        inline=inline,
                        generation=generation,
                        position=position,
                        head=head,
                        lag=head - position,
                        parked=len(parked),
                    )
                )
        return found

    def rebuild(self, names: Iterable[str] = (), *, watch: Watch | None = None) -> list[Rebuilt]:
        """Build views anew from event one; all of them when none is named."""
        return [rebuild(self._store, projection, watch) for projection in self._chosen(names)]

    def verify(self, names: Iterable[str] = (), *, watch: Watch | None = None) -> list[Verified]:
        """Compare views with what the events make of them; all of them when none is named."""
        return [
            verify(self._store, projection, inline=projection in self._store.inline, watch=watch)
            for projection in self._chosen(names)
        ]

    def catch_up(self) -> int:
        """Bring every followed view up to the head; give the number of events taken in."""
        return sum(
            Follower(self._store, projection).catch_up() for projection in self._store.followed
        )

    def _chosen(self, names: Iterable[str]) -> Iterator[Projection]:
        known = {projection.name: projection for projection in self._store.projections}
        for name in tuple(names) or known:
            if name not in known:
                raise UnknownProjection(projection=name, known=tuple(known))
            yield known[name]
