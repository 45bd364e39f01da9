"""What requests said that events must not hold: kept apart, fixed by the digest in the event."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel

from action_ledger.domain.commands import Command
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

SQL = read_blocks("action_ledger.workers", "planner.sql")


def save_body(transaction: Transaction, owner: UUID, body: BaseModel) -> str:
    """Keep it, and give its digest for the event."""
    row = transaction.execute(
        SQL["save_body"], {"owner": owner, "body": body.model_dump_json()}
    ).fetchone()
    if row is None:
        message = "RETURNING gives a row"
        raise AssertionError(message)
    return str(row["digest"])


def read_body(transaction: Transaction, owner: UUID) -> object:
    """Read it back, as JSON values."""
    row = transaction.execute(SQL["read_body"], {"owner": owner}).fetchone()
    return None if row is None else row["body"]


def is_same_request(transaction: Transaction, command: Command) -> bool:
    """Say whether the request that is in the ledger under a command's id is that command's.

    Keys that were streamed beside it are not compared.
    """
    stored: Any = read_body(transaction, command.command_id)
    return bool(stored["fingerprint"] == command.fingerprint)
