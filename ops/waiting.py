"""The inbox as people see it: commands that wait to be taken in, and those that were rejected."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.projections.store import Store

from .once import SQL
from .views import check_bounds

ACCEPTED, REJECTED = "accepted", "rejected"
"""Where a command stands that is in the inbox: it waits to be taken in, or was turned away for good."""


class InboxEntry(BaseModel):
    """A command in the inbox. ``error`` is the code of the fault that it met, ``detail`` why it was rejected."""

    model_config = ConfigDict(frozen=True)

    command_id: UUID
    command: str
    """Its type, such as ``request_execution``."""
    action: str | None
    table: str | None
    subject: UUID
    """The execution or the schedule that it begins, or acts on."""
    actor: str
    status: str
    error: str | None
    detail: str | None
    attempts: int
    accepted_at: datetime
    rejected_at: datetime | None


def waiting(store: Store, command_id: object) -> Mapping[str, Any] | None:
    """Give a command of the inbox in the form of a row of the progress view, or None."""
    with store.transaction() as transaction:
        return transaction.execute(SQL["waiting"], {"id": str(command_id)}).fetchone()


def read_inbox(store: Store, *, rejected: bool, limit: int) -> list[InboxEntry]:
    """List what is in the inbox, or only what was ``rejected``; the newest first."""
    check_bounds(limit=limit)
    values = {"rejected": rejected, "limit": limit}
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["inbox"], values).fetchall()
    return [InboxEntry(**row) for row in rows]
