"""Calls hooks: after the commit of what they are told of, at least once, and never in a transaction of the ledger's.

A delivery is taken under a lease that is committed first, then the hook is called, then it is noted. A process that
dies between leaves the lease to run out, and another calls again, with the same delivery id.
"""

import asyncio
import inspect
import logging
import random
from collections.abc import Awaitable, Mapping
from typing import Any, cast

from action_ledger.domain.event import Tally
from action_ledger.domain.hooks import Hook, HookEvent, Notice, delivery_id
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

from .backoff import doubled
from .effect_calls import told
from .steps import reached

SQL = read_blocks("action_ledger.workers", "hooks.sql")

PROGRESS_SECONDS = 0.5
"""A hook is told of the progress of one job no more often than this."""
FIRST_DELAY = 0.5
LONGEST_DELAY = 300.0
LONGEST_ERROR = 500

log = logging.getLogger(__name__)


class HookCaller:
    """Calls the hooks that one process knows, one after the other.

    ``lease_seconds`` is how long a call may take before it may be made again; ``tries`` is after how many failures in
    a row a delivery is set aside until somebody asks for it.
    """

    def __init__(
        self, store: Store, hooks: Mapping[str, Hook], *, lease_seconds: float, tries: int
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._lease_seconds = lease_seconds
        self._tries = tries

    def step(self) -> bool:
        """Make one call that is due, if there is one; what the hook raises is kept with the delivery."""
        if not self._hooks:
            return False
        values = {
            "hooks": list(self._hooks),
            "lease": self._lease_seconds,
            "tries": self._tries,
        }
        with self._store.transaction() as transaction:
            row = transaction.execute(SQL["claim"], values).fetchone()
            if row is None:
                return False
            job = transaction.execute(SQL[row["kind"]], row).fetchone()
        reached("hook.claimed")
        try:
            if job is not None:
                _call(self._hooks[row["hook"]], _notice(row, job))
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - a hook may raise anything, and must not end the worker
            self._failed(row, error)
        else:
            reached("hook.called")
            self._told(row)
        return True

    def due_in(self) -> float | None:
        """Give in how many seconds the next call is due, if one is known of."""
        if not self._hooks:
            return None
        with self._store.transaction() as transaction:
            found = transaction.execute(SQL["due_in"], {"hooks": list(self._hooks)}).fetchone()
        seconds = found["seconds"] if found else None
        return None if seconds is None else max(0.0, seconds)

    def _told(self, row: Mapping[str, Any]) -> None:
        pause = PROGRESS_SECONDS if row["event"] == HookEvent.PROGRESS else 0
        with self._store.transaction() as transaction:
            transaction.execute(SQL["told"], {**row, "pause": pause})
            reached("hook.noted")

    def _failed(self, row: Mapping[str, Any], error: BaseException) -> None:
        """Keep what was raised, and wait longer each time, never in step with others."""
        log.warning("hook %s failed at attempt %s", row["hook"], row["attempts"], exc_info=error)
        said = " ".join(told(error).split())
        longest = doubled(FIRST_DELAY, row["attempts"], longest=LONGEST_DELAY)
        delay = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        with self._store.transaction() as transaction:
            values = {**row, "error": said[:LONGEST_ERROR], "delay": delay}
            transaction.execute(SQL["failed"], values)


def _notice(row: Mapping[str, Any], job: Mapping[str, Any]) -> Notice:
    return Notice(
        delivery_id=delivery_id(row["subscription_id"], row["position"]),
        event=HookEvent(row["event"]),
        kind=row["kind"],
        job_id=row["job_id"],
        execution_id=job["execution_id"],
        actor=job["actor"],
        status=job["status"],
        error=job["error"],
        total=job["total"],
        tally=Tally(applied=job["applied"], failed=job["failed"], skipped=job["skipped"]),
        happened_at=row["happened_at"],
        attempt=row["attempts"],
    )


def _call(hook: Hook, notice: Notice) -> None:
    given = hook(notice)
    if inspect.isawaitable(given):
        asyncio.run(_awaited(cast("Awaitable[object]", given)))


async def _awaited(given: Awaitable[object]) -> object:
    return await given
