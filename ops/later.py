"""Which executions wrote to the same records afterwards: found over the key sets, in the server."""

from datetime import datetime
from uuid import UUID

from psycopg import sql
from pydantic import BaseModel, ConfigDict

from action_ledger.domain.errors import ExecutionNotFound
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store, Transaction
from action_ledger.workers.catalog import read_table
from action_ledger.workers.images import array_type, decoded, listed, numbered, unnested
from action_ledger.workers.table import Table

from .history import has_ranges

SQL = read_blocks("action_ledger.ops", "later.sql")


class LaterChange(BaseModel):
    """An execution, or an undo or redo of one, that wrote to records after another had changed them."""

    model_config = ConfigDict(frozen=True)

    execution_id: UUID
    undo_id: UUID | None
    """The undo or redo that wrote; None for the execution itself."""
    direction: str
    """do, undo or redo."""
    action: str
    actor: str
    recorded_at: datetime
    """When it last wrote to one of them."""
    records: int
    """How many of the records it wrote to."""


def read_later(
    store: Store, *, execution_id: UUID, undo_id: UUID | None = None
) -> list[LaterChange]:
    """Read what wrote to an execution's records after it, or after one undo of it; the oldest first.

    What the execution's own undos wrote is not in it, nor what anybody wrote without the ledger; of a table with
    row-level security, only what was done in the same context is. Raises ExecutionNotFound, and UnknownTable where
    the table is gone.
    """
    values: dict[str, object] = {"execution_id": execution_id, "undo_id": undo_id}
    with store.transaction() as transaction:
        row = transaction.execute(SQL["table"], values).fetchone()
        if row is None:
            raise ExecutionNotFound(execution_id=execution_id)
        table = read_table(transaction.cursor, row["table"])
        values |= {
            "table": row["table"],
            "key": [column.name for column in table.key],
            "secured": table.row_security,
        }
        row = transaction.execute(SQL["moved"], values).fetchone()
        statement = _compose(transaction, table, near=not (row and row["moved"]))
        rows = transaction.cursor.execute(statement, values).fetchall()
    return [LaterChange(**found) for found in rows]


def _compose(transaction: Transaction, table: Table, *, near: bool) -> sql.Composed:
    key = table.key
    return transaction.compose(
        SQL["later"],
        near=_near(transaction, table) if near and has_ranges(table) else sql.SQL("true"),
        key_names=listed(numbered("k", len(key))),
        arrays=listed(unnested("n.keys", key)),
        others=listed(decoded("w", "k", key)),
        key=listed(decoded("u", "k", key)),
        # A record is where the change moved it; where it did not, its key is not among what was captured, or the same.
        places=listed(
            sql.SQL("coalesce(s.after[array_position(s.columns, {})], s.keys[{}])::{}").format(
                sql.Literal(column.name.replace("%", "%%")), sql.Literal(n), array_type(column)
            )
            for n, column in enumerate(key, 1)
        ),
    )


def _near(transaction: Transaction, table: Table) -> sql.Composable:
    def bound(relation: str, field: str) -> sql.Composable:
        return listed(
            sql.SQL("{}[{}]::{}").format(
                sql.Identifier(relation, field), sql.Literal(n), column.plain_type_sql
            )
            for n, column in enumerate(table.key, 1)
        )

    return transaction.compose(
        SQL["near"],
        k_first=bound("k", "first_key"),
        k_last=bound("k", "last_key"),
        o_first=bound("o", "first_key"),
        o_last=bound("o", "last_key"),
    )
