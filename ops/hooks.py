"""The hooks that a ledger knows, and the deliveries to them: which wait, which failed, and to try them again."""

from __future__ import annotations

import re
from collections import ChainMap
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.errors import InvalidHook, shown
from action_ledger.domain.hooks import HOOK_NAME, Hook, after_complete_hook
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.workers.after_complete import after_complete_of
from action_ledger.workers.hook_caller import HookCaller

from .schedule_views import check_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from action_ledger.domain.actions import Actions
    from action_ledger.domain.commands import RequestExecution
    from action_ledger.projections.register import Projections
    from action_ledger.projections.store import Store

    from .settings import Settings

SQL = read_blocks("action_ledger.ops", "hooks.sql")

H = TypeVar("H", bound=Hook)


class DeliveryView(BaseModel):
    """Something that a hook is still to be told of.

    Without a ``last_error`` the last of the ``attempts`` has not come to its end: the hook is being called, and holds up
    those after it in its process, or that process is gone. ``parked_at`` says that it was given up until somebody
    retries it, or that this is its last try.
    """

    model_config = ConfigDict(frozen=True)

    subscription_id: UUID
    hook: str
    event: str
    kind: str
    job_id: UUID
    happened_at: datetime
    attempts: int
    last_error: str | None
    parked_at: datetime | None
    known: bool
    """Whether the process that says so knows the hook; others may."""


class Hooks:
    """Hooks by name. Those that this process does not know are left to others that do."""

    def __init__(
        self,
        store: Store,
        projections: Projections,
        settings: Settings,
        hooks: Mapping[str, Hook],
        actions: Actions,
    ) -> None:
        """``actions`` may have hooks of their own. Raises InvalidHook for what is no hook."""
        self._store, self._projections, self._settings = store, projections, settings
        self._hooks: dict[str, Hook] = {}
        self._told = {
            after_complete_hook(action.name): action
            for action in actions
            if action.after_complete is not None
        }
        for name, hook in hooks.items():
            self.register(name, hook)

    def __contains__(self, name: object) -> bool:
        return name in self._hooks or name in self._told

    def register(self, name: str, hook: H) -> H:
        """Let a function be called under a name. Raises InvalidHook for a name that is taken, or what is no function."""
        if not re.fullmatch(HOOK_NAME, name):
            raise InvalidHook(hook=shown(name), detail="that is no name")
        if name in self._hooks:
            raise InvalidHook(hook=name, detail="another hook has this name")
        if not callable(hook):
            raise InvalidHook(hook=name, detail=f"{shown(hook)} cannot be called")
        self._hooks[name] = hook
        return hook

    def caller(self, store: Store | None = None) -> HookCaller:
        """Make what calls the hooks, over the ledger's connections or over others."""
        store = store or self._store
        of_actions = {name: after_complete_of(action, store) for name, action in self._told.items()}
        return HookCaller(
            store,
            ChainMap(self._hooks, of_actions),
            lease_seconds=self._settings.hook_lease_seconds,
            tries=self._settings.hook_tries,
        )

    def concern(self, command: RequestExecution) -> bool:
        """Say whether somebody is to be told of what becomes of a command."""
        return command.notify is not None or after_complete_hook(command.action) in self._told

    def deliver(self) -> int:
        """Call the hooks that this process knows for all that is due now, in this thread; give the number of calls.

        Workers do that by themselves. What a hook raises is kept with its delivery, which is due again later.
        """
        if not (self._hooks or self._told):
            return 0
        self._projections.catch_up()
        caller, calls = self.caller(), 0
        while caller.step():
            calls += 1
        return calls

    def deliveries(self, *, failed: bool = False, limit: int = 100) -> list[DeliveryView]:
        """List what is still to be told, the oldest news first; with ``failed`` only what a hook has failed at."""
        check_limit(limit)
        self._projections.catch_up()
        with self._store.transaction() as transaction:
            values = {"failed": failed, "limit": limit}
            rows = transaction.execute(SQL["deliveries"], values).fetchall()
        names = DeliveryView.model_fields.keys() - {"known"}
        return [
            DeliveryView(known=row["hook"] in self, **{name: row[name] for name in names})
            for row in rows
        ]

    def retry(self, hook: str | None = None) -> int:
        """Let what a hook has failed at, or all, be tried at once; give the number of deliveries."""
        with self._store.transaction() as transaction:
            return transaction.execute(SQL["retry"], {"hook": hook}).rowcount
