"""The conductor: moves chains on. Any number of workers look, one moves a chain at a time, and each move is made once.

The claim of the chain's row, what is asked for next (an execution, or the undo of one), and the events that say so
are one transaction: killed anywhere in it, nothing of it is there and the next worker does it. The ids of executions
and undos are made of the chain's, so that even without the row's lock none could be there twice.
"""

import logging
from uuid import UUID

from psycopg import Error

from action_ledger.domain.actions import Actions
from action_ledger.domain.errors import StoreUnavailable, UnknownAction
from action_ledger.domain.policy import EVERYTHING_GOES, Policy
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

from .chain_move import LATER, Move
from .faults import code_of, tries_of
from .keeping import ASIDE, LONGEST_DELAY, TABLE_WAIT_MS, delay, let_pass
from .open_chain import OpenChain
from .patience import wait_at_most
from .steps import reached

SQL = read_blocks("action_ledger.workers", "chains.sql")

log = logging.getLogger(__name__)


class Conductor:
    """Moves chains on for one worker."""

    def __init__(
        self,
        store: Store,
        actions: Actions,
        *,
        name: str,
        lease_seconds: float,
        policy: Policy = EVERYTHING_GOES,
    ) -> None:
        self._store = store
        self._actions = actions
        self._silence = lease_seconds / 2
        self._policy = policy
        self.name = name

    def step(self, chain_id: UUID | None = None) -> bool:
        """Make one move of a chain, or of any, if there is one to be made. A fault is answered for.

        Raises:
            StoreUnavailable: The database cannot be reached.
        """
        chain: OpenChain | None = None
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                row = transaction.execute(SQL["claim"], {"chain_id": chain_id}).fetchone()
                if row is not None:
                    chain = OpenChain.of(row)
                    reached("chain.claimed")
                    wait_at_most(transaction, TABLE_WAIT_MS)
                    story = Move(transaction, self._actions, chain, self.name, self._policy).make()
                    reached("chain.moved")
                    transaction.append(*story.events)
                    reached("chain.appended")
                reached("chain.before_end")
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one bad chain must not end the worker
            self._answer_for(chain, error)
        return chain is not None

    def _answer_for(self, chain: OpenChain | None, error: Exception) -> None:
        """Try again later. What is wrong with a step for good, the move itself has told: the rest passes.

        Nothing is done where somebody else has moved or steered it meanwhile, or the COMMIT did get through.
        """
        if chain is None:
            let_pass(error)
            return
        code, seconds = code_of(error), ASIDE
        if isinstance(error, LATER):
            seconds = LONGEST_DELAY if isinstance(error, UnknownAction) else delay(chain.attempt)
        elif isinstance(error, Error) and chain.attempt < tries_of(error):
            seconds = delay(chain.attempt)
        else:
            log.error("chain %s cannot be moved on", chain.id, exc_info=error)
        try:
            with self._store.transaction(silence=self._silence) as transaction:
                held = {"chain_id": chain.id, "version": chain.version}
                if transaction.execute(SQL["hold"], held).fetchone() is not None:
                    values = {"chain_id": chain.id, "error": code, "delay": seconds}
                    transaction.execute(SQL["postpone"], values)
        except Error as second:
            let_pass(second)
