"""The lock of an undo: what it takes back is its own until its end, as an execution's records are."""

from uuid import UUID

from action_ledger.domain.commands import RequestUndo
from action_ledger.domain.errors import UndoInProgress
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.record_lock import RecordLock, record_lock_id
from action_ledger.projections.store import Transaction

from .locks import Claim, acquired, contenders, refusal
from .table import Table


def lock_for_undo(
    transaction: Transaction,
    table: Table,
    command: RequestUndo,
    chosen: UUID | None,
    *,
    reference: str,
    records: int,
    metadata: Metadata,
) -> list[Event]:
    """Give the event that locks the records of an undo; ``chosen`` is under whose id those lie that it names.

    Raises RecordsLocked where others have some, and UndoInProgress where that is another undo of the execution.
    """
    undo_id = command.command_id
    claim = Claim(
        table,
        reference,
        command.execution_id,
        RecordLock.new(record_lock_id(undo_id)),
        undo_id=undo_id,
        keys_of=chosen or command.execution_id,
    )
    found = contenders(transaction, claim)
    if any(each["execution_id"] == command.execution_id for each in found):
        raise UndoInProgress(execution_id=command.execution_id)
    if found:
        raise refusal(claim, found)
    return acquired(claim, records, metadata)
