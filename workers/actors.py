"""Who asks, in what a command becomes: the ids in its events, and the contact data apart from them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from action_ledger.domain.actor import Actor, Contact
from action_ledger.domain.commands import Command
from action_ledger.domain.event import Metadata
from action_ledger.projections import tracing
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

SQL = read_blocks("action_ledger.workers", "actors.sql")


def metadata_of(
    transaction: Transaction, command: Command, *, causation_id: UUID | None = None
) -> Metadata:
    """Give what the events carry that a command becomes, once its actor's contact data is kept apart.

    ``causation_id`` names what led to it, where that is not the command itself.
    """
    return Metadata(
        correlation_id=command.correlation_id or command.command_id,
        causation_id=causation_id or command.command_id,
        traceparent=tracing.current_traceparent(),
        **said_of(transaction, command.actor),
    )


def asker_of(transaction: Transaction, row: Mapping[str, Any]) -> Actor:
    """Give who asked for an execution, from its row of the view; where from as long as that is not erased."""
    found = transaction.execute(SQL["contact"], {"digest": row["contact"]}).fetchone()
    contact = Contact.model_validate(found["body"] if found else {})
    return Actor.stored(row["actor"], row["issuer"], row["on_behalf_of"], contact)


def said_of(transaction: Transaction, actor: Actor) -> dict[str, Any]:
    """Keep an actor's contact data, and give the fields of metadata that say who it is."""
    digest: str | None = None
    if actor.contact is not None:
        values = {
            "subject": actor.subject,
            "issuer": actor.issuer,
            "body": actor.contact.model_dump_json(exclude_none=True),
        }
        for row in transaction.execute(SQL["save_contact"], values):
            digest = row["digest"]
    return {
        "actor": actor.subject,
        "issuer": actor.issuer,
        "on_behalf_of": actor.on_behalf_of,
        "contact": digest,
    }
