"""Everything that a ledger holds, to compare before and after; and whether it has let go of everything."""

import time

from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import ActionLedgerError
from action_ledger.ops import Ledger

SCHEMA = "action_ledger"
PATIENCE = 5.0
"""Seconds in which connections must have come back."""


def dump_ledger(connection: Connection[DictRow], schema: str = SCHEMA) -> dict[str, list[str]]:
    """Give every row of every table of the ledger as text, and where its sequences stand."""
    relations = connection.execute(
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = %s::regnamespace"
        " AND relkind IN ('r', 'S') ORDER BY relname",
        [schema],
    ).fetchall()
    return {
        row["relname"]: [
            found["row"]
            for found in connection.execute(
                sql.SQL("SELECT t::text AS row FROM {} t ORDER BY 1").format(
                    sql.Identifier(schema, row["relname"])
                )
                if row["relkind"] == "r"
                else sql.SQL("SELECT last_value::text || is_called AS row FROM {} t").format(
                    sql.Identifier(schema, row["relname"])
                )
            )
        ]
        for row in relations
    }


def dump_table(connection: Connection[DictRow], table: str) -> list[str]:
    """Give every row of a table as text."""
    statement = sql.SQL("SELECT t::text AS row FROM {} t ORDER BY 1").format(
        sql.Identifier(*table.split("."))
    )
    return [found["row"] for found in connection.execute(statement)]


def assert_at_rest(ledger: Ledger) -> None:
    """Every connection is back in the pool, and none of them is within a transaction."""
    pool = ledger._database.pool  # pyright: ignore[reportPrivateUsage]
    deadline = time.monotonic() + PATIENCE
    while (stats := pool.get_stats())["pool_available"] < stats["pool_size"]:
        assert time.monotonic() < deadline, f"connections are out: {stats}"
        time.sleep(0.01)
    with ledger.store.transaction() as transaction:
        left = transaction.cursor.execute(
            "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'action-ledger' AND pid <> pg_backend_pid() AND state <> 'idle'"
        ).fetchall()
    assert not left, f"sessions at work: {left}"


def says(error: ActionLedgerError) -> str:
    """The code, and a check that the message tells what happened and keeps to one line."""
    message = str(error)
    assert error.to_dict()["code"] == error.code
    assert error.to_dict()["message"] == message
    assert len(message) > 20, message
    assert message.endswith((".", "?")), message
    assert "\n" not in message, message
    return error.code
