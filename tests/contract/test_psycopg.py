"""What is relied on in psycopg and in the server that it talks to."""

import time

import psycopg
import pytest
from psycopg import Connection
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.rows import DictRow

IDLE = "SELECT set_config('idle_in_transaction_session_timeout', '100', true)"
LONG = 0.5


@pytest.mark.every_postgres
@pytest.mark.parametrize("reminded", [False, True])
def test_a_pipeline_makes_the_server_forget_the_idle_timeout(
    database_url: str, connection: Connection[DictRow], *, reminded: bool
) -> None:
    """Why ``Transaction.pipeline`` ends with an empty statement; without need for it, this fails."""
    opened = Connection.connect(database_url, autocommit=True, application_name="idler")
    opened.execute("BEGIN")
    opened.execute(IDLE)
    with opened.pipeline():
        opened.execute("SELECT 1")
    if reminded:
        opened.execute("")
    time.sleep(LONG)
    if reminded:
        with pytest.raises((IdleInTransactionSessionTimeout, psycopg.OperationalError)):
            opened.execute("SELECT 1")
    else:
        opened.execute("SELECT 1")
    opened.close()
    assert connection.execute("SELECT 1 AS here").fetchone() == {"here": 1}
