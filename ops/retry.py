"""Retries: the same action again, on the records that an execution did not get done, as an execution of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from action_ledger.domain.errors import ExecutionNotFound
from action_ledger.domain.pace import MAX_BATCH_SIZE
from action_ledger.domain.resource import Resource
from action_ledger.domain.selection import Unfinished, predicate_of
from action_ledger.workers.bodies import read_body
from action_ledger.workers.compile import Request as Body

from .builder import Request
from .target import Target

if TYPE_CHECKING:
    from .handles import ExecutionHandle

SAME_AS_BEFORE = (
    "batch_size",
    "undo_seconds",
    "frozen",
    "queue",
    "priority",
    "on_failure",
    "max_failures",
    "max_failure_ratio",
    "rate",
    "concurrency",
)
"""Options that a retry has from the execution; the chain may set each anew."""


def retry_of(execution: ExecutionHandle, *, failed: bool, not_processed: bool) -> Request:
    """Begin a retry: a chain like that of any request, on the records that were left.

    Raises ExecutionNotFound.
    """
    row = execution.row()
    with execution.ledger.store.transaction() as transaction:
        stored = read_body(transaction, execution.id)
    if stored is None:
        raise ExecutionNotFound(execution_id=execution.id)
    body = Body.model_validate(stored)
    selection = Unfinished(
        of=execution.id,
        failed=failed,
        not_processed=not_processed,
        predicate=predicate_of(body.selection),
    )
    resource = body.resource.model_copy(update={"table": row["table_name"]})
    options: dict[str, Any] = {name: row[name] for name in SAME_AS_BEFORE}
    # A change of keys was one batch, of any size; it is one again.
    options["batch_size"] = min(options["batch_size"], MAX_BATCH_SIZE)
    return Request(
        target=Target(execution.ledger, Resource.model_validate(resource), selection),
        options={
            "action": body.action,
            "parameters": body.parameters,
            "retry_of": execution.id,
            "adaptive": body.adaptive,
            "on_locked": body.on_locked,
            **options,
        },
    )
