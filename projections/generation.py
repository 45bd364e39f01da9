"""Generations of a view's tables: the next one is made beside the live one, and those before are dropped."""

from psycopg import sql
from psycopg.errors import LockNotAvailable

from .follower import SQL, tracking_name
from .projection import Projection
from .relations import generation_of
from .sql_blocks import trusted
from .store import Store, Transaction


class NextGeneration:
    """Tables of the next generation, and the switch to them."""

    def __init__(self, store: Store, transaction: Transaction, projection: Projection) -> None:
        self._store, self._transaction, self._projection = store, transaction, projection
        self.generation = transaction.views.generations[projection.name] + 1
        for table in projection.tables:
            self._create(table, transaction.views.relation(table))

    def relation(self, table: str) -> sql.Identifier:
        """Name the next table that stands for one of the projection's."""
        return generation_of(self._store.schema, table, self.generation)

    def prepare(self) -> None:
        """Count what is in the new tables, so that the first statement on them is planned well."""
        for table in self._projection.tables:
            self._transaction.cursor.execute(SQL["analyze"].format(next=self.relation(table)))

    def finish(self, position: int) -> None:
        """Switch to the new tables, which stand at a position."""
        name = self._projection.name
        if self._projection in self._store.followed and position:
            self._store.recorder.track(
                self._transaction.cursor, tracking_name(name, self.generation), position
            )
        self._transaction.execute(SQL["unpark"], {"projection": name})
        self._transaction.execute(
            SQL["switch"], {"projection": name, "generation": self.generation}
        )

    def _create(self, table: str, live: sql.Identifier) -> None:
        cursor, new = self._transaction.cursor, self.relation(table)
        cursor.execute(SQL["create_like"].format(next=new, live=live))
        options = cursor.execute(SQL["options"].format(live_text=sql.Literal(live.as_string())))
        for row in options.fetchall():
            # The catalog holds only names that are options.
            name, value = trusted(row["name"]), sql.Literal(row["value"])
            cursor.execute(SQL["set_option"].format(next=new, name=name, value=value))


def drop_before(store: Store, projection: Projection, generation: int) -> None:
    """Drop generations before one; a table that somebody still reads stays for the next time.

    Not within a rebuild: whoever comes to an old table late would wait for all of it.
    """
    with store.transaction() as transaction:
        cursor = transaction.cursor
        cursor.execute(
            SQL["forget_tracking"].format(schema=sql.Identifier(store.schema)),
            {"pattern": f"^{projection.name}[.]g[0-9]+$", "generation": generation},
        )
        for table in projection.tables:
            rows = cursor.execute(
                SQL["old_generations"].format(schema_text=sql.Literal(store.schema)),
                {"pattern": f"^view_{table}_g[0-9]+$"},
            ).fetchall()
            old = (name for name in (row["relname"] for row in rows) if _number(name) < generation)
            for name in old:
                _drop(transaction, sql.Identifier(store.schema, name))


def count_rows(transaction: Transaction, relation: sql.Identifier) -> int:
    """Count the rows of a table."""
    row = transaction.cursor.execute(SQL["count_rows"].format(live=relation)).fetchone()
    return int(row["rows"]) if row else 0


def _drop(transaction: Transaction, relation: sql.Identifier) -> None:
    try:
        with transaction.savepoint():
            transaction.cursor.execute("SET LOCAL lock_timeout = '100ms'")
            transaction.cursor.execute(SQL["drop_old"].format(old=relation))
    except LockNotAvailable:
        return


def _number(table: str) -> int:
    return int(table.rpartition("_g")[2])
