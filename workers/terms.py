"""The terms of an execution: its command as it will be done, where its action or its change leaves no choice."""

from action_ledger.domain.actions import Actions, ExportAction, Reversibility
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.context import Context
from action_ledger.domain.effects import Effect
from action_ledger.domain.errors import (
    ExecutionNotEnded,
    ExecutionNotFound,
    InvalidParameters,
    InvalidValue,
)
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.failure import OnFailure
from action_ledger.domain.selection import Unfinished
from action_ledger.projections.store import Transaction

from .admission import refuse_pace
from .bodies import read_body
from .claim import SQL as QUEUE
from .compile import Compiled, Request, check_key
from .context import require_same
from .planner import MOVED_AT_ONCE
from .retried import require_first
from .table import Table, reference_of


def terms_of(
    transaction: Transaction,
    actions: Actions,
    command: RequestExecution,
    compiled: Compiled,
) -> RequestExecution:
    """Check a command against its table, and give it as it will be done. A run and its preview have the same.

    A change of keys is always gated, and one batch; an export is gated, since its limit is one of the whole. Raises what is wrong, before anything is planned.
    """
    if compiled.change.moves_keys:
        gated = {"planning": "gated", "batch_size": MOVED_AT_ONCE}
        command = command.model_copy(update=gated)
    action = actions.get(command.action)
    if isinstance(action, Effect):
        refuse_pace(command.action, rate=command.rate, concurrency=command.concurrency)
    if isinstance(action, ExportAction):
        command = command.model_copy(update={"planning": "gated"})
    if action.reversibility is Reversibility.IRREVERSIBLE:
        command = _irreversible(command)
    table = compiled.change.table
    if isinstance(command.selection, Unfinished):
        _check_retry(transaction, table, command.selection, command.context)
    return command


def _irreversible(command: RequestExecution) -> RequestExecution:
    """An action that cannot be taken back makes an execution that cannot."""
    if command.on_failure is OnFailure.ROLLBACK:
        detail = "on_failure rollback takes back what was done, and this action is irreversible"
        raise InvalidParameters(action=command.action, detail=detail)
    return command.model_copy(update={"undo_seconds": None})


def _check_retry(
    transaction: Transaction, table: Table, selection: Unfinished, context: Context | None
) -> None:
    """Make sure that the other execution has ended, and that its keys are those of this table and this context."""
    of = selection.of
    row = transaction.execute(QUEUE["execution"], {"execution_id": of}).fetchone()
    if row is None:
        raise ExecutionNotFound(execution_id=of)
    if not ExecutionStatus(row["status"]).ended:
        raise ExecutionNotEnded(execution_id=of, status=row["status"])
    if row["table_name"] != reference_of(table):
        detail = f"execution {of} was over {row['table_name']}"
        raise InvalidValue(value=reference_of(table), detail=detail, table=table.label)
    body = Request.model_validate(read_body(transaction, of))
    require_same(context, body.context, subject=of)
    check_key(table, body)
    require_first(transaction, selection)
