"""The part of a command that is kept apart from its event, and how a command that is sent again is known by it."""

from typing import Any

from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.selection import Keys
from action_ledger.projections.store import Transaction

from .bodies import read_body
from .compile import Request


def body_of(command: RequestExecution) -> Request:
    """Give the part of a command that is kept apart from its event; keys go to key sets."""
    return Request(
        resource=command.resource,
        action=command.action,
        parameters=command.parameters,
        selection=Keys(keys=None) if isinstance(command.selection, Keys) else command.selection,
        frozen=command.frozen,
        reversible=command.undo_seconds is not None,
        reason=command.reason,
        fingerprint=command.fingerprint,
        adaptive=command.adaptive,
        on_locked=command.on_locked,
        context=command.context,
    )


def is_same_request(transaction: Transaction, command: AnyCommand) -> bool:
    """Say whether the request that is in the ledger under a command's id is that command's.

    Keys that were streamed beside it are not compared.
    """
    stored: Any = read_body(transaction, command.command_id)
    return bool(stored["fingerprint"] == command.fingerprint)
