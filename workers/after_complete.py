"""Makes a hook of what an action has to be called after completion: it is given the execution's parameters as well."""

from collections.abc import Awaitable
from typing import Any

from action_ledger.domain.actions import Action
from action_ledger.domain.hooks import Hook, Notice
from action_ledger.projections.store import Store

from .bodies import read_body


def after_complete_of(action: Action, store: Store) -> Hook:
    """Give the hook of an action that has one; what its parameter model cannot read any more, it raises."""
    told = action.after_complete
    if told is None:
        message = f"{action.name} has nothing to be called"
        raise AssertionError(message)

    def tell(notice: Notice) -> Awaitable[object] | object:
        with store.transaction() as transaction:
            body: Any = read_body(transaction, notice.job_id)
        return told(notice, action.parameters.model_validate(body["parameters"]))

    return tell
