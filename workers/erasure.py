"""Erases the contact data of an actor, and records that it did."""

from action_ledger.domain.erasure import Done, EraseActor, Erasure
from action_ledger.projections.store import Transaction

from .actors import SQL, metadata_of
from .bodies import save_body
from .steer import SteeringBody
from .steps import reached


class ActorErasure:
    """One command to erase, on its way into the ledger."""

    def __init__(self, transaction: Transaction, command: EraseActor) -> None:
        self._transaction = transaction
        self._command = command

    def accept(self) -> None:
        """Delete what there is, and record that it was done, in the caller's transaction.

        Twice: before the append lock, which everybody waits for, what may be much; and under it the few that came
        meanwhile, so that nothing is left of what was recorded before the erasure. Nobody else erases the same actor
        meanwhile.
        """
        transaction, command = self._transaction, self._command
        body = SteeringBody(reason=command.reason, fingerprint=command.fingerprint)
        save_body(transaction, command.command_id, body)
        metadata = metadata_of(transaction, command)
        values = {"whose": command.whose, "issuer": command.issuer}
        transaction.execute(SQL["alone"], {**values, "schema": transaction.schema_name})
        transaction.execute(SQL["erase_waiting"], values)
        contacts = transaction.execute(SQL["erase"], values).rowcount
        reached("erasure.before_append")
        transaction.lock()
        contacts += transaction.execute(SQL["erase"], values).rowcount
        transaction.append(
            Erasure.new(command.command_id).trigger(Done, metadata, **values, contacts=contacts)
        )
        reached("erasure.before_commit")
