"""The rebuild of a queue: it is not switched, since its rows carry locks; what is missing or wrong is mended."""

from psycopg import sql

from .follower import SQL
from .projection import Projection
from .shadow import create_shadow, shadow_of
from .store import Transaction


class Reconciliation:
    """Folds a queue into a shadow of it, and makes the live one like that, row by row."""

    def __init__(self, transaction: Transaction, projection: Projection) -> None:
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

    def finish(self, position: int) -> None:  # noqa: ARG002 - as the next generation has it
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
