"""Reads of chains: each as it stands, its steps, and everything that it set in motion."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.chain import ChainStatus
from action_ledger.domain.errors import ChainNotFound, InvalidValue, shown
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

from .schedule_views import check_limit
from .views import AuditEntry

SQL = read_blocks("action_ledger.ops", "chains.sql")


class ChainView(BaseModel):
    """One chain. ``completed`` and ``failed`` count steps that have ended.

    ``kept_back`` counts records that a compensation did not bring back: conflicts, failures, irreversible steps.
    """

    model_config = ConfigDict(frozen=True)

    id: UUID
    status: str
    steps: int
    step: int
    """The newest that was begun; 0 before the first."""
    completed: int
    failed: int
    kept_back: int
    error: str | None
    actor: str
    requested_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the view."""
        names = cls.model_fields.keys() - {"id"}
        return cls(id=row["chain_id"], **{name: row[name] for name in names})


class ChainStepView(BaseModel):
    """One step: waiting, running, completed, failed, refused, cancelled; and compensating, compensated or kept.

    The counts are those of its execution's records, None before that is requested.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    status: str
    action: str
    table: str
    on_failure: str
    execution_id: UUID
    execution_status: str | None
    undo_id: UUID | None
    total: int | None
    applied: int | None
    failed: int | None
    skipped: int | None
    pending: int | None
    error: str | None
    started_at: datetime | None
    ended_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the view."""
        names = cls.model_fields.keys() - {"table"}
        return cls(table=row["table_name"], **{name: row[name] for name in names})


def chain_id_of(chain_id: UUID | str) -> UUID:
    """Read an id. Raises ChainNotFound for what cannot be one."""
    try:
        return UUID(str(chain_id))
    except ValueError as error:
        raise ChainNotFound(chain_id=shown(chain_id)) from error


def read_chain(store: Store, chain_id: UUID) -> ChainView:
    """Read one. Raises ChainNotFound."""
    with store.transaction() as transaction:
        row = transaction.execute(SQL["chain"], {"id": chain_id}).fetchone()
    if row is None:
        raise ChainNotFound(chain_id=chain_id)
    return ChainView.of(row)


def read_chains(store: Store, *, status: str | None, limit: int) -> list[ChainView]:
    """Read chains, the newest first."""
    check_limit(limit)
    if status is not None and status not in set(ChainStatus):
        detail = f"the states of a chain are {', '.join(ChainStatus)}"
        raise InvalidValue(value=shown(status), detail=detail)
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["chains"], {"status": status, "limit": limit}).fetchall()
    return [ChainView.of(row) for row in rows]


def read_steps(store: Store, chain_id: UUID) -> list[ChainStepView]:
    """Read the steps of a chain, in their order."""
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["steps"], {"id": chain_id}).fetchall()
    return [ChainStepView.of(row) for row in rows]


def read_chain_audit(store: Store, chain_id: UUID, *, after: int, limit: int) -> list[AuditEntry]:
    """Read the events of a chain, its executions and their undos, in the order of events."""
    check_limit(limit)
    values = {"id": chain_id, "after": after, "limit": limit}
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["audit"], values).fetchall()
    return [AuditEntry.of(row) for row in rows]
