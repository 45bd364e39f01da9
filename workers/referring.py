"""What rows of a change set refer to: they come back after it, or together with it."""

from dataclasses import dataclass

from psycopg import sql

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .table import Column, Table, identifier

SQL = read_blocks("action_ledger.workers", "undo.sql")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One foreign key of a table whose columns are all recorded."""

    own: tuple[Column, ...]
    parent: tuple[str, str]
    """The schema and the name of the table that it refers to, which may be the same."""
    referenced: tuple[str, ...]

    @property
    def table(self) -> sql.Composable:
        """What it refers to."""
        return identifier(*self.parent)

    def theirs(self, relation: str) -> list[sql.Composable]:
        """Refer to the columns that it refers to."""
        return [
            sql.SQL("{}.{}").format(sql.Identifier(relation), identifier(name))
            for name in self.referenced
        ]


def foreign_keys(
    transaction: Transaction, table: Table, recorded: tuple[Column, ...]
) -> list[ForeignKey]:
    """Give the foreign keys of a table, but for those on columns that are not recorded: on computed ones."""
    rows = transaction.cursor.execute(SQL["foreign_keys"].format(), {"oid": table.oid}).fetchall()
    columns = {column.name: column for column in recorded}
    return [
        ForeignKey(
            tuple(columns[own] for own, _ in row["columns"]),
            (row["schema"], row["table"]),
            tuple(referenced for _, referenced in row["columns"]),
        )
        for row in rows
        if all(own in columns for own, _ in row["columns"])
    ]
