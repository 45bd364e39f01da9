"""Rights in mid-run: before each batch the host is asked whether the actor still may; after a no, all of it stops."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.errors import NotAuthorized
from action_ledger.domain.failure import OnFailure
from action_ledger.domain.policy import Phase, Policy
from action_ledger.projections.store import Store

from .actors import asker_of
from .bodies import read_body
from .close import SQL
from .compile import Request
from .settle import stop


class Rights:
    """Asks for one worker."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store = store
        self._policy = policy

    def ask(self, execution_id: UUID) -> bool:
        """Ask about an execution, and stop it after a no. Not within a transaction: the host's function may take long."""
        with self._store.transaction() as transaction:
            row = transaction.execute(SQL["execution"], {"execution_id": execution_id}).fetchone()
            body = read_body(transaction, execution_id)
            actor = None if row is None else asker_of(transaction, row)
        if row is None or actor is None:
            return True
        try:
            self._policy.require(_command(row, Request.model_validate(body), actor), Phase.BATCH)
        except NotAuthorized as refused:
            with self._store.transaction() as transaction:
                stop(transaction, execution_id, error=refused.code)
            return False
        return True


def _command(row: Mapping[str, Any], body: Request, actor: Actor) -> RequestExecution:
    """Give the command that an execution was asked for with; keys are not in it, they are in key sets."""
    said = body.model_dump(include={"action", "parameters", "frozen", "reason"})
    kept = {
        name: row[name]
        for name in (
            *(
                "correlation_id",
                "queue",
                "priority",
                "batch_size",
                "planning",
                "undo_seconds",
            ),
            *("max_failures", "max_failure_ratio", "rate", "concurrency", "retry_of"),
        )
    }
    # It was validated when it was asked for; what planning made of it since need not pass again.
    return RequestExecution.model_construct(
        command_id=row["execution_id"],
        actor=actor,
        on_failure=OnFailure(row["on_failure"]),
        resource=body.resource,
        selection=body.selection,
        adaptive=body.adaptive,
        on_locked=body.on_locked,
        context=body.context,
        **kept,
        **said,
    )
