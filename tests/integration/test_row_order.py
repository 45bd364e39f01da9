"""From its second attempt on a batch takes its rows in the order of their keys, before it changes any."""

from collections.abc import Callable

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.handle import Handle
from tests.crash.harness import scores, until
from tests.crash.test_contention import foreign, waiting, working
from tests.invariants import check_invariants

RECORDS = 100
AS_THEY_LIE = (
    "&options=-cenable_nestloop%3Doff%20-cenable_mergejoin%3Doff%20-cenable_indexscan%3Doff"
    "%20-cenable_bitmapscan%3Doff"
)
"""The planner goes through the whole table, whose rows lie in the opposite order."""


def do(ledger: Ledger) -> Handle:
    execution = ledger.on("places").all().update(score=col("score") + 1).by("user:1").submit()
    assert ledger.worker().step(execution.id)  # planned
    return execution


def undo(ledger: Ledger) -> Handle:
    execution = do(ledger)
    execution.finish()
    return ledger.execution(execution.id).undo(by="user:2").submit()


@pytest.mark.parametrize(("begin", "added"), [(do, 1), (undo, 0)])
def test_who_waits_for_the_first_row_has_none_of_the_others(
    database_url: str,
    connection: Connection[DictRow],
    begin: Callable[[Ledger], Handle],
    added: int,
) -> None:
    connection.execute("CREATE TABLE places (id bigint PRIMARY KEY, score bigint NOT NULL)")
    connection.execute(
        "INSERT INTO places SELECT i, i FROM generate_series(%s, 1, -1) i", [RECORDS]
    )
    connection.execute("VACUUM ANALYZE places")
    with open_ledger(database_url + AS_THEY_LIE) as ledger:
        job = begin(ledger)
        free: list[int] = []
        for attempts in (0, 1):
            connection.execute("UPDATE action_ledger.work_queue SET attempts = %s", [attempts])
            with (
                foreign(database_url, "SELECT FROM places WHERE id = 1 FOR UPDATE") as release,
                working(lambda: ledger.worker().step(job.id)),
            ):
                until(lambda: waiting(connection) == 1)
                rows = connection.execute("SELECT id FROM places FOR UPDATE SKIP LOCKED").fetchall()
                free.append(len(rows))
                if not attempts:
                    end_waits(connection)
                release()
            connection.execute("UPDATE action_ledger.work_queue SET available_at = '-infinity'")
        assert free == [0, RECORDS - 1]
        assert job.status == "completed"
        assert scores(connection) == {added: RECORDS}
        check_invariants(connection, ledger=ledger, tables=["places"])


def end_waits(connection: Connection[DictRow]) -> None:
    """End the first attempt, so that there is a second one."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'action-ledger'"
        " AND wait_event_type = 'Lock'"
    )
