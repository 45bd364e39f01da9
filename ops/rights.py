"""Rights at the door: the host is asked, outside of any transaction, and what it refuses is recorded."""

import psycopg

from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.errors import ContextNotAllowed, NotAuthorized, Refused
from action_ledger.domain.policy import Policy
from action_ledger.projections.store import Store
from action_ledger.workers.inbox import record_rejection

from .translation import translated


def require_right(store: Store, policy: Policy, command: AnyCommand) -> None:
    """Raise NotAuthorized or ContextNotAllowed, once the refusal is in the audit."""
    try:
        policy.require_context(command)
        policy.require(command)
    except (NotAuthorized, ContextNotAllowed) as refused:
        record_refusal(store, command, refused)
        raise


def record_refusal(store: Store, command: AnyCommand, refused: Refused) -> None:
    """Let the audit know of a command that was turned away, and by whom it was asked for."""
    try:
        with store.transaction() as transaction:
            record_rejection(transaction, command.model_dump(mode="json"), error=refused.code)
    except psycopg.Error as error:
        raise translated(error) from error
