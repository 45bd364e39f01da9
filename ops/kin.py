"""What foreign keys took along, counted by table: of an execution, and of what an undo brought back."""

from uuid import UUID

from action_ledger.domain.event import Tally
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

SQL = read_blocks("action_ledger.ops", "reads.sql")


def read_reached(
    store: Store, *, execution_id: UUID, undo_id: UUID | None = None
) -> dict[str, int]:
    """Count the rows that went along with an execution's records, or with those of an undo of it."""
    values = {"execution_id": execution_id, "undo_id": undo_id}
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["reached"], values).fetchall()
    return {row["table"]: row["records"] for row in rows}


def read_children(store: Store, *, execution_id: UUID, undo_id: UUID) -> dict[str, Tally]:
    """Count what became of the rows that had gone along with the records that an undo brings back."""
    values = {"execution_id": execution_id, "undo_id": undo_id}
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["children"], values).fetchall()
    return {row.pop("table"): Tally.model_validate(row) for row in rows}
