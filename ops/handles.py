"""Handles: an execution or an undo, to watch, to wait for, to ask and to take back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from uuid_utils.compat import uuid7

from action_ledger.domain.commands import (
    AnySteering,
    BreakLock,
    CancelExecution,
    PauseExecution,
    RequestUndo,
    ResumeExecution,
    RetuneExecution,
)
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.undo import UndoStatus
from action_ledger.projections.sql_blocks import read_blocks

from .checks import check_actor, check_workers, invalid
from .contexts import context_of, read_context
from .effect_results import EffectResult, read_effects
from .exports import ExportView, read_export
from .handle import Handle
from .inbox import REJECTED
from .key_lists import key_list
from .kin import read_children, read_reached
from .later import LaterChange, read_later
from .outcomes import Outcome, read_changes, read_not_processed, read_outcomes
from .retry import retry_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from action_ledger.domain.actor import Asker
    from action_ledger.domain.context import Context
    from action_ledger.domain.event import Tally
    from action_ledger.workers.undo_previewed import UndoPreview

    from .builder import Request
    from .ledger import Ledger

SQL = read_blocks("action_ledger.ops", "reads.sql")


class ExecutionHandle(Handle):
    """One run of one action."""

    block = "execution"
    ended = frozenset({*(status for status in ExecutionStatus if status.ended), REJECTED})

    def undo(self, *, by: Asker | None = None, reason: str | None = None) -> UndoRequest:
        """Begin to take it back; ``.run()`` or ``.submit()`` ends the chain."""
        return UndoRequest(self.ledger, {"execution_id": self.id, "actor": by, "reason": reason})

    def pause(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Take nothing more of it up until it is resumed. Batches at work come to their end."""
        self._steer(PauseExecution, by, reason)

    def resume(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Let it go on."""
        self._steer(ResumeExecution, by, reason)

    def cancel(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Stop it for good: after this no batch of it is completed. What is done stays, and can be undone."""
        self._steer(CancelExecution, by, reason)

    def break_lock(self, *, by: Asker | None = None, reason: str | None = None) -> None:
        """Take its records away: no batch of it writes after this, and it has failed. Raises LockNotHeld."""
        self._steer(BreakLock, by, reason)

    def retune(
        self,
        *,
        by: Asker | None = None,
        reason: str | None = None,
        rate: float | str | None = None,
        concurrency: int | str | None = None,
        priority: int | None = None,
    ) -> None:
        """Set its pace or its priority anew. None leaves one as it is, ``"unlimited"`` lifts a limit."""
        tuned = {"rate": rate, "concurrency": concurrency, "priority": priority}
        self._steer(RetuneExecution, by, reason, **tuned)

    def retry(
        self,
        *,
        by: Asker | None = None,
        reason: str | None = None,
        failed: bool = True,
        not_processed: bool = False,
    ) -> Request:
        """Begin the same action again on the records that failed, or that a cancel or a stop left undone.

        The chain goes on as that of any request: ``.run()`` or ``.submit()`` ends it.
        """
        request = retry_of(self, failed=failed, not_processed=not_processed)
        return request.by(by, reason=reason) if by is not None else request

    def _steer(
        self, kind: type[AnySteering], by: Asker | None, reason: str | None, **options: object
    ) -> None:
        check_actor(by)
        try:
            command = kind.model_validate(
                {
                    "command_id": uuid7(),
                    "execution_id": self.id,
                    "actor": by,
                    "reason": reason,
                    **options,
                }
            )
        except ValidationError as error:
            raise invalid(kind.model_fields["type"].default.partition("_")[0], error) from error
        self.ledger.handle(command)

    @property
    def context(self) -> Context | None:
        """Whose rights it has; None where it declared none."""
        return read_context(self.ledger.store, self.id)

    def not_processed(self) -> Iterator[Outcome]:
        """Give the records that were planned and never taken up, since it was closed before."""
        return read_not_processed(self.ledger.store, execution_id=self.id)

    def undos(self) -> list[UndoHandle]:
        """Give its undos, and their redos, oldest first."""
        with self.ledger.store.transaction() as transaction:
            rows = transaction.execute(SQL["undos_of"], {"id": self.id}).fetchall()
        return [UndoHandle(self.ledger, row["undo_id"]) for row in rows]

    def reached(self) -> dict[str, int]:
        """Count, by table, the rows of other tables that went or changed along through foreign keys."""
        return read_reached(self.ledger.store, execution_id=self.id)

    def later(self) -> list[LaterChange]:
        """Give the executions, and their undos, that wrote to the same records afterwards, oldest first."""
        return read_later(self.ledger.store, execution_id=self.id)

    def failures(self) -> Iterator[Outcome]:
        """Give the records that failed, each with its key and the reason: an SQLSTATE or a stable code."""
        return read_outcomes(self.ledger.store, execution_id=self.id, outcome="failed")

    def skipped(self) -> Iterator[Outcome]:
        """Give the records that were skipped, each with its key and the reason."""
        return read_outcomes(self.ledger.store, execution_id=self.id, outcome="skipped")

    def results(self) -> Iterator[EffectResult]:
        """Give what came of each record of an effect, as far as it has come."""
        return read_effects(self.ledger.store, execution_id=self.id)

    def export(self) -> ExportView:
        """Give the file that it writes, with its manifest once it is there. Raises ExportNotFound."""
        return read_export(self.ledger.store, self.id)

    def changes(self) -> Iterator[dict[str, Any]]:
        """Give the records that were changed, each with its key, before and after, as text."""
        return read_changes(self.ledger.store, execution_id=self.id)


class UndoHandle(Handle):
    """One undo, or one redo."""

    block = "undo"
    ended = frozenset(status for status in UndoStatus if status.ended)

    def conflicts(self) -> Iterator[Outcome]:
        """Give the records that were left alone, with the recorded and the current value of each column."""
        return read_outcomes(self.ledger.store, undo_id=self.id, outcome="conflict")

    def skipped(self) -> Iterator[Outcome]:
        """Give the records that were kept from coming back, each with the reason, such as a trigger."""
        return read_outcomes(self.ledger.store, undo_id=self.id, outcome="skipped")

    def failures(self) -> Iterator[Outcome]:
        """Give the records that could not be taken back, each with its key and the reason."""
        return read_outcomes(self.ledger.store, undo_id=self.id, outcome="failed")

    def reached(self) -> dict[str, int]:
        """Count, by table, the rows that went or changed along with what it wrote: in a redo of a delete, say."""
        execution_id = self.row()["execution_id"]
        return read_reached(self.ledger.store, execution_id=execution_id, undo_id=self.id)

    def children(self) -> dict[str, Tally]:
        """Count, by table, what became of the rows that had gone along; they are in no other count."""
        execution_id = self.row()["execution_id"]
        return read_children(self.ledger.store, execution_id=execution_id, undo_id=self.id)

    def later(self) -> list[LaterChange]:
        """Give what other executions, and their undos, wrote to the same records afterwards, oldest first."""
        execution_id = self.row()["execution_id"]
        return read_later(self.ledger.store, execution_id=execution_id, undo_id=self.id)

    @property
    def excepted(self) -> list[str]:
        """The columns that did not come back bit for bit, since a trigger writes them."""
        with self.ledger.store.transaction() as transaction:
            rows = transaction.execute(SQL["excepted"], {"undo_id": self.id}).fetchall()
        return [row["name"] for row in rows]

    def redo(self, *, by: Asker | None = None, reason: str | None = None) -> UndoRequest:
        """Begin to apply again what this undo took back."""
        execution_id = self.row()["execution_id"]
        return UndoRequest(
            self.ledger,
            {"execution_id": execution_id, "of_undo": self.id, "actor": by, "reason": reason},
        )


@dataclass(frozen=True, slots=True)
class UndoRequest:
    """An undo, and what of it is wanted. Ends with ``run`` or ``submit``."""

    ledger: Ledger
    options: dict[str, Any]

    def by(self, actor: Asker, *, reason: str | None = None) -> UndoRequest:
        """Say who asks, and why."""
        return self._with(actor=actor, reason=reason)

    def on_conflict(self, policy: str) -> UndoRequest:
        """Choose what happens to records that somebody changed since: skip (the default), merge, fail or force."""
        return self._with(policy=policy)

    def batches(self, numbers: Iterable[int]) -> UndoRequest:
        """Take only some batches back, by their numbers."""
        return self._with(batches=tuple(numbers))

    def keys(self, keys: Iterable[Any]) -> UndoRequest:
        """Take only some records back."""
        return self._with(keys=tuple(key_list(keys)))

    def columns(self, *names: str) -> UndoRequest:
        """Take only some columns back; the others are left, and are no conflict. Raises ColumnsNotUndoable at the end."""
        return self._with(columns=names)

    def notify(self, **hooks: str) -> UndoRequest:
        """Name hooks that are told of it: ``progress=``, ``complete=``, ``failure=``."""
        return self._with(notify=hooks)

    def context(
        self, settings: Mapping[str, str] | None = None, *, role: str | None = None
    ) -> UndoRequest:
        """Say whose rights it has: those that the execution had, or it is refused with ContextDiffers."""
        return self._with(context=context_of(settings, role))

    def once(self, key: str) -> UndoRequest:
        """Make it harmless to send twice, by a key of yours: see :meth:`Request.once`."""
        return self._with(once=key)

    def command(self) -> RequestUndo:
        """Build the command. Raises what is missing or wrong in it."""
        check_actor(self.options.get("actor"))
        try:
            return RequestUndo(command_id=uuid7(), **self.options)
        except ValidationError as error:
            raise invalid("undo", error) from error

    def preview(self, sample: int = 10, *, records: int | None = None) -> UndoPreview:
        """Do it, roll it back, and say what would come back, what would not and why. Nothing of it is recorded.

        At most ``records`` are tried, or as many as the settings say; ``sample`` of each kind are shown. Raises what
        the undo would raise, and PreviewBlocked.
        """
        return self.ledger.preview_undo(self.command(), sample=sample, records=records)

    def run(
        self, *, workers: int = 1, watch: Callable[[UndoHandle], None] | None = None
    ) -> UndoHandle:
        """Take it back now, in this process."""
        check_workers(workers)
        undo = UndoHandle(self.ledger, self.ledger.handle(self.command(), now=True))
        undo.finish(workers=workers, watch=watch)
        return undo

    def submit(self) -> UndoHandle:
        """Leave it to the workers."""
        return UndoHandle(self.ledger, self.ledger.handle(self.command()))

    def _with(self, **options: Any) -> UndoRequest:  # noqa: ANN401
        return replace(self, options={**self.options, **options})
