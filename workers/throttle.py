"""The throttle: a probe of the user's own that can hold executions back, asked now and then and never waited for long."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

from .close import SQL as QUEUE

SQL = read_blocks("action_ledger.workers", "pace.sql")

Probe = Callable[[Mapping[str, Any]], str | None]
"""From an execution's row of the progress view to the reason for holding it back; None lets it go on."""

ASKED_EVERY = 2.0
"""Seconds for which an answer holds."""
PATIENCE = 5.0
"""Seconds after which a probe that does not answer holds nothing back."""
LONGEST_REASON = 200

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Answer:
    """What the probe said, in a thread of its own, since it may say nothing for ever."""

    came: threading.Event = field(default_factory=threading.Event)
    reason: str | None = None
    error: str | None = None


class Throttle:
    """Asks the probe of a ledger; all of the ledger's workers share what it said."""

    def __init__(
        self, store: Store, probe: Probe, *, every: float = ASKED_EVERY, patience: float = PATIENCE
    ) -> None:
        self._store = store
        self._probe = probe
        self._every = every
        self._patience = patience
        self._held: dict[UUID, tuple[float, bool]] = {}
        """For each execution until when its answer holds, and whether it is held back."""
        self._asked: dict[UUID, _Answer] = {}
        """Questions that have had no answer in time."""

    def held(self) -> list[UUID]:
        """Give the executions that are held back, as far as is known."""
        now = time.monotonic()
        known = list(self._held.items())
        for execution_id, (until, _) in known:
            if until <= now:
                self._held.pop(execution_id, None)
        return [execution_id for execution_id, (until, held) in known if held and until > now]

    def is_known(self, execution_id: UUID) -> bool:
        """Say whether there is an answer that still holds."""
        until, _ = self._held.get(execution_id, (0.0, False))
        return until > time.monotonic()

    def ask(self, execution_id: UUID) -> None:
        """Ask, and keep the answer, here and where people see it. Not within a transaction: it may take long."""
        with self._store.transaction() as transaction:
            row = transaction.execute(QUEUE["execution"], {"execution_id": execution_id}).fetchone()
        if row is None or row["ended_at"] is not None:
            return
        answer = self._answer(execution_id, row)
        said = {"job": execution_id, "reason": answer.reason, "error": answer.error}
        block = "let_go" if answer.reason is None and answer.error is None else "hold_back"
        with self._store.transaction() as transaction:
            transaction.execute(SQL[block], said)
        self._held[execution_id] = (time.monotonic() + self._every, answer.reason is not None)

    def _answer(self, execution_id: UUID, row: Mapping[str, Any]) -> _Answer:
        pending = self._asked.get(execution_id)
        answer = pending or _Answer()
        if pending is None:
            threading.Thread(
                target=self._call, args=(answer, row), name="action-ledger-throttle", daemon=True
            ).start()
        # A probe that was not in time is waited for no more, and not asked again before it has answered.
        if answer.came.wait(0 if pending else self._patience):
            self._asked.pop(execution_id, None)
            return answer
        if pending is None:
            self._asked[execution_id] = answer
            log.error("the throttle probe gave no answer in %g seconds", self._patience)
        return _Answer(error="TimeoutError")

    def _call(self, answer: _Answer, row: Mapping[str, Any]) -> None:
        try:
            reason = self._probe(row)
            if reason is not None:
                text = " ".join(str(reason).replace("\0", "").split())
                answer.reason = text[:LONGEST_REASON] or "the throttle probe gave no reason"
        except (Exception, SystemExit) as error:
            answer.error = type(error).__name__
            log.exception("the throttle probe failed, and holds nothing back")
        finally:
            answer.came.set()
