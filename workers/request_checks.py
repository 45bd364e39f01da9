"""What a request for an execution is checked against beside its table: its action, and what it tries again."""

from uuid import UUID

from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.errors import (
    ExecutionNotEnded,
    ExecutionNotFound,
    InvalidParameters,
    InvalidValue,
)
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.failure import OnFailure
from action_ledger.projections.store import Transaction

from .bodies import read_body
from .claim import SQL as QUEUE
from .compile import Request, check_key, reference_of
from .table import Table


def irreversible(command: RequestExecution) -> RequestExecution:
    """Make an execution of an action that cannot be taken back one that cannot. Raises InvalidParameters."""
    if command.on_failure is OnFailure.ROLLBACK:
        detail = "on_failure rollback takes back what was done, and this action is irreversible"
        raise InvalidParameters(action=command.action, detail=detail)
    return command.model_copy(update={"undo_seconds": None})


def check_retry(transaction: Transaction, table: Table, execution_id: UUID) -> None:
    """Make sure that the other execution has ended, and that its keys are those of this table."""
    row = transaction.execute(QUEUE["execution"], {"execution_id": execution_id}).fetchone()
    if row is None:
        raise ExecutionNotFound(execution_id=execution_id)
    if not ExecutionStatus(row["status"]).ended:
        raise ExecutionNotEnded(execution_id=execution_id, status=row["status"])
    if row["table_name"] != reference_of(table):
        detail = f"execution {execution_id} was over {row['table_name']}"
        raise InvalidValue(value=reference_of(table), detail=detail, table=table.label)
    check_key(table, Request.model_validate(read_body(transaction, execution_id)))
