"""How long a transaction waits for a lock that others hold."""

from psycopg import sql

from action_ledger.projections.store import Transaction

_WAIT_AT_MOST = sql.SQL("SELECT set_config('lock_timeout', %(wait)s, true)")


def wait_at_most(transaction: Transaction, milliseconds: int) -> None:
    """Let what comes in this transaction raise LockNotAvailable when it waits longer for a row or a table."""
    transaction.execute(_WAIT_AT_MOST, {"wait": f"{milliseconds}ms"})
