"""Reads of the views: executions and the audit trail."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import Actions
from action_ledger.domain.actor import Actor, Contact
from action_ledger.domain.errors import (
    ExecutionNotFound,
    InvalidValue,
    UnknownTable,
    UnsupportedTable,
    shown,
)
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.values import encode
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store, Transaction
from action_ledger.workers.catalog import find_table
from action_ledger.workers.table import reference

from .progress import batches_done

SQL = read_blocks("action_ledger.ops", "reads.sql")
MOST = 2**63 - 1
"""The largest number of the database's bigint."""


class ExecutionView(BaseModel):
    """One execution as a list shows it. applied + failed + skipped + pending = total."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    status: str
    action: str
    table: str
    actor: str
    """The subject of who asked."""
    asked_by: Actor
    """The same, with all that is known; address and agent as long as they are not erased."""
    contact_erased: bool
    """Whether it was kept from where that was, and is not any more."""
    total: int
    total_final: bool
    applied: int
    failed: int
    skipped: int
    pending: int
    """Not processed: not yet, or not any more where the execution was closed before."""
    batches: int
    batches_done: int
    """Batches of which every record came to an end."""
    queue: str
    priority: int
    rate: float | None
    """Records a second at most; None for no limit."""
    concurrency: int | None
    """Batches at work at a time at most; None for no limit."""
    error: str | None
    undone: int
    """Of those applied, how many are taken back at the moment: what undos restored, less what was done again.
    One of which only some columns are counts too."""
    requested_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any], *, undone: int) -> Self:
        """Make it from a row of the progress view."""
        names = cls.model_fields.keys() - {
            *("id", "table", "undone", "batches_done", "asked_by", "contact_erased")
        }
        return cls(
            id=row["execution_id"],
            table=row["table_name"],
            batches_done=batches_done(row),
            undone=min(undone, row["applied"]),
            **asked_by(row),
            **{name: row[name] for name in names},
        )


Probe = Callable[[ExecutionView], str | None]
"""Says why an execution is to be held back for now, or None."""


class AuditEntry(BaseModel):
    """One event of the audit trail. ``details`` are its fields, but for the ids; no record data is among them."""

    model_config = ConfigDict(frozen=True)

    position: int
    recorded_at: datetime
    topic: str
    execution_id: UUID
    batch_id: UUID | None
    undo_id: UUID | None
    actor: str
    asked_by: Actor
    """Issuer, ``on_behalf_of`` and contact data are known of the events that a command itself became."""
    contact_erased: bool
    correlation_id: UUID
    details: dict[str, Any]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the audit view."""
        names = cls.model_fields.keys() - {"asked_by", "contact_erased"}
        return cls(**{name: row[name] for name in names}, **asked_by(row))


def asked_by(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read who asked, from a row of a view with the contact data that is kept, if any."""
    body = row.get("contact_body")
    return {
        "asked_by": Actor.stored(
            row["actor"], row["issuer"], row["on_behalf_of"], Contact.model_validate(body or {})
        ),
        "contact_erased": row["contact"] is not None and "contact_body" in row and body is None,
    }


def id_of(execution_id: UUID | str) -> UUID:
    """Read an id. Raises ExecutionNotFound for what cannot be one."""
    try:
        return UUID(str(execution_id))
    except ValueError as error:
        raise ExecutionNotFound(execution_id=shown(execution_id)) from error


def read_executions(
    store: Store, *, status: str | None, actor: str | None, table: str | None, limit: int
) -> list[ExecutionView]:
    """Read executions, the newest first. Raises UnknownTable, UnsupportedTable and InvalidValue."""
    check_bounds(limit=limit)
    if status is not None and status not in set(ExecutionStatus):
        detail = f"the states of an execution are {', '.join(ExecutionStatus)}"
        raise InvalidValue(value=shown(status), detail=detail)
    with store.transaction() as transaction:
        values = {
            "status": status,
            "actor": encode(actor),
            "table": None if table is None else _recorded_name(transaction, table),
            "limit": limit,
        }
        rows = transaction.execute(SQL["executions"], values).fetchall()
        standing = read_standing(transaction, [row["execution_id"] for row in rows])
    return [ExecutionView.of(r, undone=sum(standing[r["execution_id"]].values())) for r in rows]


def _recorded_name(transaction: Transaction, table: str) -> str:
    """Give the name by which events know a table; one that is gone is known by that name alone."""
    try:
        found = find_table(transaction.cursor, table, ledger_schema=transaction.schema_name)
    except (UnknownTable, UnsupportedTable):
        known = transaction.execute(SQL["table_known"], {"table": encode(table)}).fetchone()
        if known is None:
            raise
        return table
    return reference(*found)


def read_standing(
    transaction: Transaction, ids: Sequence[UUID]
) -> defaultdict[UUID, dict[UUID, int]]:
    """Read, by execution and undo, how many records are taken back by each undo at the moment."""
    found: defaultdict[UUID, dict[UUID, int]] = defaultdict(dict)
    for row in transaction.execute(SQL["standing"], {"ids": list(ids)}):
        found[row["execution_id"]][row["undo_id"]] = row["records"]
    return found


def read_audit(
    store: Store, *, execution_id: UUID | None, actor: str | None, after: int | None, limit: int
) -> list[AuditEntry]:
    """Read the audit trail in the order of events, from after a position; the newest when ``after`` is None."""
    check_bounds(limit=limit, after=after or 0)
    block = "newest_of_audit" if after is None else "audit"
    values = {"execution_id": execution_id, "actor": encode(actor), "after": after, "limit": limit}
    with store.transaction() as transaction:
        rows = transaction.execute(SQL[block], values).fetchall()
    return [AuditEntry.of(row) for row in rows]


def count_open(store: Store, queues: Iterable[str] | None, actions: Actions) -> int:
    """Count the units of work that are open in some queues, or in all of them, and can be done by these actions."""
    values = {
        "queues": None if queues is None else list(queues),
        "actions": [action.name for action in actions],
    }
    with store.transaction() as transaction:
        row = transaction.execute(SQL["open_units"], values).fetchone()
    return int(row["units"]) if row else 0


def check_bounds(**bounds: int) -> None:
    """Raise InvalidValue for a bound that is no whole number from 0."""
    for name, bound in bounds.items():
        if not 0 <= bound <= MOST:
            detail = f"{name} is a whole number from 0 to {MOST}"
            raise InvalidValue(value=shown(bound), detail=detail)
