"""What is relied on in psycopg and in the server that it talks to."""

import time
from contextlib import closing

import pytest
from psycopg import Connection
from psycopg.errors import IdleInTransactionSessionTimeout

IDLE = "SELECT set_config('idle_in_transaction_session_timeout', '200', true)"
LONG = 0.8


@pytest.mark.every_postgres
def test_an_empty_statement_after_a_pipeline_arms_the_idle_timeout(database_url: str) -> None:
    """Why ``Transaction.pipeline`` ends with one.

    psycopg ends a pipeline by a Flush after the Sync, at which the server disarms the time-out until the next
    statement. (psycopg 3.3; that it does is not asserted here, since it would be no loss if it stopped.)
    """
    with closing(Connection.connect(database_url, autocommit=True)) as opened:
        opened.execute("BEGIN")
        opened.execute(IDLE)
        with opened.pipeline():
            opened.execute("SELECT 1")
        opened.execute("")
        time.sleep(LONG)
        with pytest.raises(IdleInTransactionSessionTimeout):
            opened.execute("SELECT 1")
