"""Reads the record locks: who has which records of a table for himself, and who waits for them."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

SQL = read_blocks("action_ledger.ops", "locks.sql")


class LockView(BaseModel):
    """One lock. Its owner is the execution, or the undo of it where one is named."""

    model_config = ConfigDict(frozen=True)

    execution_id: UUID
    undo_id: UUID | None
    table: str
    records: int
    status: str
    """held, or waiting."""
    owner_status: str
    """Where its owner stands: paused, for example, which keeps its records."""
    actor: str
    since: datetime
    """When it got them, or when it looked for them last."""
    waits_for: tuple[UUID, ...]
    """Executions and undos that come first."""

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the view."""
        names = cls.model_fields.keys() - {"table"}
        return cls(table=row["table_name"], **{name: row[name] for name in names})


def read_locks(store: Store) -> list[LockView]:
    """List them, the oldest first."""
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["locks"]).fetchall()
    return [LockView.of(row) for row in rows]
