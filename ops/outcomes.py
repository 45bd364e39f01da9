"""Record by record: what was changed, and what was not and why. Read from the bulk data, streamed."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store
from action_ledger.workers.arrays import Arrays, record_at

SQL = read_blocks("action_ledger.ops", "reads.sql")


class Outcome(BaseModel):
    """One record that was not changed. Values are PostgreSQL's text of them, under ISO settings."""

    model_config = ConfigDict(frozen=True)

    key: tuple[str, ...]
    batch: int
    outcome: str
    reason: str
    sqlstate: str | None = None
    constraint: str | None = None
    message: str | None = None
    recorded: dict[str, str | None] | None = None
    """What the ledger had written, by column; for conflicts."""
    current: dict[str, str | None] | None = None
    """What was found instead, by column; None where the row was gone."""
    table: str | None = None
    """The table of a row that had gone along through a foreign key; None for a record of the execution's own."""


def read_outcomes(
    store: Store, *, outcome: str, execution_id: UUID | None = None, undo_id: UUID | None = None
) -> Iterator[Outcome]:
    """Read outcomes of one kind, of an execution or of an undo."""
    values = {"outcome": outcome, "execution_id": execution_id, "undo_id": undo_id}
    with store.transaction() as transaction:
        arrays = Arrays(transaction)
        for row in transaction.stream(SQL["outcomes"], values):
            keys = arrays.columns(row["keys"])
            recorded = arrays.columns(row["recorded"])
            current = arrays.columns(row["current"])
            for n, key in enumerate(zip(*keys, strict=True)):
                yield Outcome(
                    key=key,
                    batch=row["number"],
                    outcome=row["outcome"],
                    reason=row["reason"],
                    sqlstate=row["sqlstate"],
                    constraint=row["constraint_name"],
                    message=row["message"],
                    recorded=record_at(row["columns"], recorded, n),
                    current=record_at(row["columns"], current, n),
                    table=row["child_table"],
                )


def read_not_processed(store: Store, *, execution_id: UUID) -> Iterator[Outcome]:
    """Read the records of batches that were never taken up, since the execution was closed before."""
    with store.transaction() as transaction:
        arrays = Arrays(transaction)
        for row in transaction.stream(SQL["not_processed"], {"execution_id": execution_id}):
            done = set(row["done"])
            for position, key in enumerate(zip(*arrays.columns(row["keys"]), strict=True), 1):
                if position not in done:
                    yield Outcome(
                        key=key, batch=row["number"], outcome="not_processed", reason=row["reason"]
                    )


def read_changes(store: Store, *, execution_id: UUID) -> Iterator[dict[str, Any]]:
    """Read what an execution changed: table, key, before and after of each row; those of children follow theirs."""
    with store.transaction() as transaction:
        arrays = Arrays(transaction)
        for row in transaction.stream(SQL["changes"], {"execution_id": execution_id}):
            keys = arrays.columns(row["keys"])
            before = arrays.columns(row["before"])
            after = arrays.columns(row["after"])
            for n, key in enumerate(zip(*keys, strict=True)):
                yield {
                    "table": row["table"],
                    "key": key,
                    "batch": row["number"],
                    "before": record_at(row["columns"], before, n),
                    "after": record_at(row["columns"], after, n),
                }
