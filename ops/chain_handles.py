"""The handle of a chain: to look at, to wait for, to steer, and to take back as a whole."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import ValidationError
from uuid_utils.compat import uuid7

from action_ledger.domain.chain import ChainStatus
from action_ledger.domain.chain_commands import (
    AnyChainSteering,
    CancelChain,
    PauseChain,
    ResumeChain,
    UndoChain,
)
from action_ledger.domain.errors import CommandTimedOut

from .chain_views import (
    SQL,
    ChainStepView,
    ChainView,
    read_chain,
    read_chain_audit,
    read_steps,
)
from .checks import check_actor, check_workers, invalid
from .contexts import context_of
from .handle import POLL_SECONDS
from .handles import ExecutionHandle, UndoHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any
    from uuid import UUID

    from action_ledger.domain.actor import Asker
    from action_ledger.projections.projection import Recorded

    from .ledger import Ledger
    from .views import AuditEntry


class ChainHandle:
    """One chain. Whoever steers it says who he is: ``.cancel(by="user:42")``."""

    ended = frozenset(status for status in ChainStatus if status.ended)

    def __init__(self, ledger: Ledger, id_: UUID) -> None:
        """Look nothing up yet."""
        self.ledger = ledger
        self.id = id_

    def __repr__(self) -> str:
        """Name what it is of; nothing is looked up for it."""
        return f"{type(self).__name__}({str(self.id)!r})"

    def view(self) -> ChainView:
        """Read it as it stands. Raises ChainNotFound."""
        return read_chain(self.ledger.store, self.id)

    @property
    def status(self) -> str:
        """Where it stands."""
        return self.view().status

    def steps(self) -> list[ChainStepView]:
        """List its steps, each with its state and the counts of its execution."""
        return read_steps(self.ledger.store, self.id)

    def audit(self, *, after: int = 0, limit: int = 1_000) -> list[AuditEntry]:
        """Read the audit trail of the whole: the chain, its executions and their undos."""
        self.ledger.catch_up()
        return read_chain_audit(self.ledger.store, self.id, after=after, limit=limit)

    def events(self) -> list[Recorded]:
        """Read its own stream."""
        store = self.ledger.store
        with store.transaction() as transaction:
            return store.read_stream(transaction.cursor, self.id)

    def wait(self, *, timeout: float | None = None) -> None:
        """Wait until it has ended, whoever works on it. Raises CommandTimedOut after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.status not in self.ended:
            if deadline is not None and not time.monotonic() <= deadline:
                raise CommandTimedOut(seconds=timeout or 0, detail=f"{self.id} is {self.status}")
            time.sleep(POLL_SECONDS)

    def finish(
        self, *, workers: int = 1, watch: Callable[[ChainHandle], None] | None = None
    ) -> None:
        """Move it on and work on its steps, in this process, until it has ended, or it or its step is paused."""
        check_workers(workers)
        while True:
            while self.advance():
                if watch is not None:
                    watch(self)
            job = self._awaited()
            if job is None:
                if self.status in {*self.ended, ChainStatus.PAUSED}:
                    return
                time.sleep(POLL_SECONDS)  # another has it in hand, or it waits after a fault
                continue
            job.finish(workers=workers, watch=None if watch is None else lambda _: watch(self))
            if job.status == ChainStatus.PAUSED:
                return

    def advance(self) -> bool:
        """Make the next move, if it can be made now: ask for the next step, or for the next undo; or end it."""
        return self.ledger.conductor().step(self.id)

    def pause(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Start no further step, and pause the one at work, until it is resumed."""
        self._steer(PauseChain, by, reason)

    def resume(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Let it go on."""
        self._steer(ResumeChain, by, reason)

    def cancel(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """End it, and cancel the step at work. What is done stays, and can be undone."""
        self._steer(CancelChain, by, reason)

    def undo(
        self,
        *,
        by: Asker | None = None,
        reason: str | None = None,
        context: Mapping[str, str] | None = None,
        role: str | None = None,
    ) -> ChainHandle:
        """Begin to take back what its steps did, the newest first; ``.finish()`` or the workers do it.

        Where its steps have a context, it is given here, as in :meth:`Request.context`. Raises ContextDiffers, and
        ChainClosed while it is under way, and when it was taken back before.
        """
        self._steer(UndoChain, by, reason, context=context_of(context, role))
        return self

    def _awaited(self) -> ExecutionHandle | UndoHandle | None:
        """Give what it waits for."""
        with self.ledger.store.transaction() as transaction:
            row = transaction.execute(SQL["awaits"], {"id": self.id}).fetchone()
        if row is None or row["awaits"] is None:
            return None
        undoing = row["status"] == ChainStatus.COMPENSATING
        return (UndoHandle if undoing else ExecutionHandle)(self.ledger, row["awaits"])

    def _steer(
        self, kind: type[AnyChainSteering], by: Asker | None, reason: str | None, **options: object
    ) -> None:
        check_actor(by)
        fields: dict[str, Any] = {"chain_id": self.id, "actor": by, "reason": reason, **options}
        try:
            command = kind.model_validate({"command_id": uuid7(), **fields})
        except ValidationError as error:
            raise invalid("chain", error) from error
        self.ledger.handle(command)
