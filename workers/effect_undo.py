"""The undo of an execution with an effect, as it is asked for: which of its batches have something to compensate."""

from typing import NamedTuple
from uuid import UUID

from action_ledger.domain.actions import Reversibility
from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import AlreadyUndone, NothingToUndo, NotReversible
from action_ledger.projections.store import Transaction

from .bodies import read_body
from .compile import Request
from .effect_kept import SQL
from .effect_pages import chosen_keys
from .table import Table


class Compensable(NamedTuple):
    """By batch, in the order in which they are taken back: the version that was looked at, and the records."""

    versions: dict[UUID, int]
    counts: dict[UUID, int]


class EffectUndo:
    """One request for an undo."""

    def __init__(
        self, transaction: Transaction, command: RequestUndo, table: Table, chosen: UUID | None
    ) -> None:
        self._transaction = transaction
        self._command = command
        self._table = table
        self._chosen = chosen

    def found(self) -> Compensable:
        """Give what there is to compensate. Raises NotReversible, AlreadyUndone or NothingToUndo."""
        execution_id = self._command.execution_id
        if self._command.of_undo is not None:
            reason = "an effect is not done again by a redo; ask for the action anew"
            raise NotReversible(execution_id=execution_id, reason=reason)
        leased = self._transaction.execute(SQL["leased"], {"execution_id": execution_id}).fetchone()
        if leased is not None:  # a row without columns is falsy
            reason = "a batch of it is still at work; wait for that"
            raise NotReversible(execution_id=execution_id, reason=reason)
        found = self._look(ever=False)
        if found.counts:
            return found
        if self._look(ever=True).counts:
            raise AlreadyUndone(execution_id=execution_id)
        raise NothingToUndo(execution_id=execution_id, reason="no call of it succeeded")

    def _look(self, *, ever: bool) -> Compensable:
        transaction, command = self._transaction, self._command
        statement = transaction.compose(
            SQL["compensable"], chosen=chosen_keys(transaction, self._table, self._chosen)
        )
        values = {
            "execution_id": command.execution_id,
            "numbers": None if command.batches is None else list(command.batches),
            "chosen": self._chosen,
            "ever": ever,
        }
        rows = transaction.cursor.execute(statement, values).fetchall()
        return Compensable(
            versions={row["batch_id"]: row["version"] for row in rows},
            counts={row["batch_id"]: row["records"] for row in rows},
        )


def why_irreversible(transaction: Transaction, execution_id: UUID) -> str:
    """Say why an execution has no undo window."""
    request = Request.model_validate(read_body(transaction, execution_id))
    if request.reversibility is Reversibility.IRREVERSIBLE:
        return f"the action {request.action} is irreversible"
    return "it was asked for as irreversible"
