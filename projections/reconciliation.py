"""The rebuild of a queue: it is not switched, since its rows carry locks; what is missing or wrong is mended."""

from psycopg import sql

from .follower import SQL, tracking_name
from .projection import Projection
from .shadow import create_shadow, shadow_of
from .store import Store, Transaction


class Reconciliation:
    """Folds a queue into a shadow of it, and makes the live one like that, row by row."""

    def __init__(self, store: Store, transaction: Transaction, projection: Projection) -> None:
        self._store, self._projection = store, projection
        self._transaction = transaction
        self._tables = projection.tables
        for table in self._tables:
            create_shadow(transaction, table)

    @staticmethod
    def relation(table: str) -> sql.Identifier:
        """Name the table that the events are folded into."""
        return shadow_of(table)

    def prepare(self) -> None:
        """Nothing is to be done before the writers are held up."""

    def finish(self, position: int) -> None:
        """Insert what is missing, mend what is altered, delete what is too much; not what somebody works on."""
        for table, key in self._tables.items():
            for block in ("insert_missing", f"mend_{table}", "delete_surplus"):
                self._transaction.cursor.execute(
                    SQL[block].format(
                        live=self._transaction.views.relation(table),
                        shadow=shadow_of(table),
                        key=sql.Identifier(key),
                    )
                )
        if self._projection in self._store.followed:
            self._follow_from(position)

    def _follow_from(self, position: int) -> None:
        """Let followers go on after what the rows now hold: to fold it in once more would be too much."""
        transaction, name = self._transaction, self._projection.name
        transaction.execute(SQL["unpark"], {"projection": name})
        tracked = tracking_name(name, transaction.views.generations[name])
        if position > self._store.recorder.position(transaction.cursor, tracked):
            self._store.recorder.track(transaction.cursor, tracked, position)
