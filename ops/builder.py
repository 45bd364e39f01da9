"""The fluent face: how an action is to run. A chain builds one frozen command, and hands it to the ledger at its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python
from uuid_utils.compat import uuid7

from action_ledger.domain.commands import DAY, MAX_UNDO_SECONDS, RequestExecution
from action_ledger.domain.errors import (
    ConfirmationInvalid,
    InvalidParameters,
    SelectionMissing,
    shown,
)
from action_ledger.domain.preview import read_token

from .chain_builder import ChainRequest
from .checks import check_actor, invalid
from .contexts import context_of
from .rules import rule_of, schedule_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from action_ledger.domain.actor import Asker
    from action_ledger.workers.previewed import Preview

    from .handles import ExecutionHandle
    from .schedule_handles import ScheduleHandle
    from .target import Target


@dataclass(frozen=True, slots=True)
class Request:
    """An action on chosen records, and how it is to run. Ends with ``run``, ``submit`` or ``preview``."""

    target: Target
    options: dict[str, Any]

    def by(self, actor: Asker, *, reason: str | None = None) -> Request:
        """Say who asks, as the host has verified it, and why."""
        return self._with(actor=actor, reason=reason)

    def undoable(self, *, days: float) -> Request:
        """Set the window in which it can be undone, counted from its end."""
        try:
            seconds = int(timedelta(days=days).total_seconds())
        except (TypeError, ValueError, OverflowError):
            seconds = 0
        if not 1 <= seconds <= MAX_UNDO_SECONDS:
            detail = f"the window of the undo is a number of days, {MAX_UNDO_SECONDS // DAY} at most, not {shown(days)}"
            raise InvalidParameters(action=self.options["action"], detail=detail)
        return self._with(undo_seconds=seconds)

    def irreversible(self) -> Request:
        """Give up the undo. Then rows may go that a foreign key takes along."""
        return self._with(undo_seconds=None)

    def batch_size(self, records: int) -> Request:
        """Set how many records are one batch."""
        return self._with(batch_size=records)

    def adaptive(
        self,
        *,
        seconds: float | None = None,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> Request:
        """Let the size of batches follow how long they take, about ``seconds`` each, within these bounds.

        What is not given is as in the ledger's settings. ``batch_size`` is what it begins with.
        """
        given = {"seconds": seconds, "minimum": minimum, "maximum": maximum}
        sizes = self.target.ledger.settings.sizes.model_dump()
        sizes |= {name: value for name, value in given.items() if value is not None}
        return self._with(adaptive=sizes)

    def rate(self, records: float) -> Request:
        """Change so many records a second at most, by all workers together."""
        return self._with(rate=records)

    def concurrency(self, batches: int) -> Request:
        """Let so many batches of it be at work at a time at most, whoever works on them."""
        return self._with(concurrency=batches)

    def streaming(self) -> Request:
        """Plan page by page while the first batches are at work; the total grows until planning ends."""
        return self._with(planning="streaming")

    def frozen(self) -> Request:
        """Change a planned record even if it no longer matches when its batch comes."""
        return self._with(frozen=True)

    def on_failure(
        self, policy: str, *, max_failures: int | None = None, max_ratio: float | None = None
    ) -> Request:
        """Choose what happens when records fail: continue (the default), stop, or rollback what was done.

        It happens when more than ``max_failures`` have failed, or more than ``max_ratio`` of all; with neither, at
        the first.
        """
        return self._with(on_failure=policy, max_failures=max_failures, max_failure_ratio=max_ratio)

    def on_locked(self, policy: str) -> Request:
        """Choose what happens to records that others have locked: fail (the default), skip them, or wait in order."""
        return self._with(on_locked=policy)

    def queue(self, name: str, *, priority: int = 0) -> Request:
        """Choose the queue that workers find it in; a higher priority goes first."""
        return self._with(queue=name, priority=priority)

    def notify(
        self,
        *,
        progress: str | None = None,
        complete: str | None = None,
        failure: str | None = None,
    ) -> Request:
        """Name hooks that are told of it: of its progress, of its completion, of any other end."""
        return self._with(notify={"progress": progress, "complete": complete, "failure": failure})

    def context(
        self, settings: Mapping[str, str] | None = None, *, role: str | None = None
    ) -> Request:
        """Say whose rights it has, where the table has row-level security: settings of its policies, and a role.

        ``{"app.tenant_id": "7"}`` is set for each of its transactions, in which the database takes it for ``role``.
        The ledger's settings list which may be named. Raises ContextNotAllowed when it is sent.
        """
        return self._with(context=context_of(settings, role))

    def then(self, request: Request, *, on_failure: str | None = None) -> ChainRequest:
        """Make a chain: ``request`` is begun when this one has ended. See :class:`ChainRequest`."""
        return ChainRequest(((self, None),)).then(request, on_failure=on_failure)

    def once(self, key: str) -> Request:
        """Make it harmless to send twice, by a key of yours: what is sent under it again is the one of before.

        A key is the ledger's, for ever, and for whoever asks. Another command under it raises CommandReused.
        """
        return self._with(once=key)

    def command(self) -> RequestExecution:
        """Build the command that this chain stands for. Raises what is missing or wrong in it."""
        if self.target.selection is None:
            raise SelectionMissing
        check_actor(self.options.get("actor"))
        try:
            return RequestExecution.model_validate(
                {
                    **self.options,
                    "command_id": uuid7(),
                    "resource": self.target.resource,
                    "selection": self.target.selection,
                    "parameters": to_jsonable_python(self.options["parameters"]),
                }
            )
        except ValidationError as error:
            raise invalid(self.options["action"], error) from error
        except (PydanticSerializationError, UnicodeError) as error:
            detail = "a text among them is not valid Unicode (a lone surrogate)"
            raise InvalidParameters(action=self.options["action"], detail=detail) from error

    def run(
        self, *, workers: int = 1, watch: Callable[[ExecutionHandle], None] | None = None
    ) -> ExecutionHandle:
        """Do it now, in this process. ``watch`` is called after each batch, from this thread."""
        return self.target.ledger.run(
            self.command(), keys=self.target.streamed, workers=workers, watch=watch
        )

    def submit(self) -> ExecutionHandle:
        """Leave it to the workers."""
        ledger = self.target.ledger
        return ledger.execution(ledger.handle(self.command(), keys=self.target.streamed))

    def confirm(self, token: str) -> Request:
        """Give the token of a preview of the same: then exactly what was previewed is done, or nothing.

        Planning is gated. Raises ConfirmationInvalid for what is no token.
        """
        if read_token(token) is None:
            raise ConfirmationInvalid(token=shown(token), reason="unknown")
        return self._with(confirmation=token)

    def preview(self, sample: int = 10, *, records: int | None = None) -> Preview:
        """Do it, roll it back, and say what came of it: counts, differences, failures, and a token to confirm with.

        At most ``records`` are tried, or as many as the settings say. Recorded for ever, as made by the actor.
        """
        return self.target.ledger.preview(
            self.command(), keys=self.target.streamed, sample=sample, records=records
        )

    def schedule(
        self,
        *,
        at: datetime | str | None = None,
        cron: str | None = None,
        timezone: str | None = None,
        catch_up: str = "last",
        selection: str = "evaluated",
    ) -> ScheduleHandle:
        """Run it once at a time, or again and again by a cron expression in a time zone; workers fire it.

        A time without an offset is local to ``timezone``. ``catch_up`` says what becomes of runs that no worker was
        up for: skip, last or all. ``selection="frozen"`` chooses the records now, once for all.
        """
        rule = rule_of(at=at, cron=cron, timezone=timezone)
        command = schedule_command(self.command(), rule, catch_up=catch_up, keep=selection)
        ledger = self.target.ledger
        return ledger.schedule(ledger.handle(command, keys=self.target.streamed))

    def _with(self, **options: Any) -> Request:  # noqa: ANN401
        return replace(self, options={**self.options, **options})
