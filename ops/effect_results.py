"""What came of an effect, record by record: streamed from what its workers have kept."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

SQL = read_blocks("action_ledger.ops", "reads.sql")


class EffectResult(BaseModel):
    """What came of an effect's handler for one record. ``result`` is what it returned, as JSON values."""

    model_config = ConfigDict(frozen=True)

    key: tuple[str, ...]
    batch: int
    outcome: str
    reason: str | None
    message: str | None
    result: Any
    idempotency_key: UUID | None
    recorded_at: datetime


def read_effects(store: Store, *, execution_id: UUID) -> Iterator[EffectResult]:
    """Read what was kept of each call of an effect; of a batch at work, what there is so far."""
    with store.transaction() as transaction:
        for row in transaction.stream(SQL["effects"], {"execution_id": execution_id}):
            yield EffectResult.model_validate({**row, "batch": row.pop("number")})
