"""What is done on the way in: whether it may be, and when the server looks at its values.

The look costs three statements, a sixth of all that one record takes. The change of a few records tells as much, where
it changes all of them: so then the look waits, and comes only where one was not changed.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from psycopg import Error
from psycopg.pq import TransactionStatus

from action_ledger.domain.actions import Actions, UpdateParameters
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.expression import ExpressionNode, is_lazy
from action_ledger.domain.pace import Adaptive, Sizing
from action_ledger.domain.selection import Keys
from action_ledger.projections.store import Transaction

from .change import Change
from .compile import Compiled, check_request
from .cutter import Cut

FEW = 10
"""So many records are tried before the look: with a wrong value each of them fails, at two statements or so."""


class Look:
    """The server's look at the values and expressions of one command, before anything of it is appended."""

    def __init__(self, transaction: Transaction, actions: Actions, compiled: Compiled) -> None:
        """Look at nothing yet."""
        self._transaction = transaction
        self._actions = actions
        self._compiled = compiled
        self._done = False

    def may_wait(self, command: RequestExecution) -> bool:
        """Say whether the change of the records tells as much: there are few, and all of every value is computed."""
        selection, request = command.selection, self._compiled.request
        if not isinstance(selection, Keys) or not 0 < len(selection.keys or ()) <= FEW:
            return False
        parameters = self._actions.validate(request.action, request.parameters)
        values = parameters.values.values() if isinstance(parameters, UpdateParameters) else ()
        lazy = any(isinstance(value, ExpressionNode) and is_lazy(value) for value in values)
        return request.changes is None and not lazy

    def take(self) -> None:
        """Raise what is wrong with them, unless that was asked before."""
        if not self._done:
            table = self._compiled.change.table
            check_request(self._transaction, self._actions, self._compiled.request, table)
            self._done = True

    @contextmanager
    def trying(self) -> Generator[None]:
        """Try the change: where that fails as a whole, for what is wrong with the command, say so."""
        try:
            yield
        except Error:
            info = self._transaction.connection.info
            if info.transaction_status is TransactionStatus.INTRANS:
                self.take()
            raise


def is_small(
    command: RequestExecution, cuts: Sequence[Cut], change: Change, sizes: Adaptive | None
) -> bool:
    """Say whether it is one batch that can be applied as it is; a change of keys must be one."""
    if len(cuts) != 1:
        return False
    sizes = command.adaptive or sizes
    if sizes is None:
        return True
    sizing = Sizing(
        adaptive=sizes,
        asked=command.adaptive is not None,
        start=command.batch_size,
        rate=command.rate,
        speed=None,
    )
    return change.moves_keys or sizing.oversize(cuts[0].records) is None
