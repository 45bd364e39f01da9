"""Followers and rebuilds that are killed within a block: nothing is lost, doubled or left."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
from tests.crash import projecting
from tests.crash.harness import LONGEST, PROCESSES, until
from tests.dump import dump_ledger
from tests.journal import append, story
from tests.some_work import verified

pytestmark = [pytest.mark.crash, pytest.mark.fault(12)]


@pytest.mark.parametrize(
    ("work", "name"), [("rebuild", "progress"), ("rebuild", "audit"), ("follow", "audit")]
)
def test_killed_within_a_block(
    database_url: str, connection: Connection[DictRow], work: str, name: str
) -> None:
    with open_ledger(database_url) as ledger:
        for _ in range(10):
            append(ledger.store, *story())
        if work == "rebuild":
            ledger.catch_up()
        before = dump_ledger(connection)
        reached = PROCESSES.Event()
        process = PROCESSES.Process(
            target=projecting.main, args=(database_url, work, name, 15, reached)
        )
        process.start()
        try:
            assert reached.wait(LONGEST)
        finally:
            process.kill()
            process.join()
            process.close()
        until(lambda: not at_work(connection), "the server's notice of the kill")
        after = dump_ledger(connection)
        if work == "rebuild":
            assert after == before
            assert ledger.projections.rebuild([name])[0].events == 30
        else:
            assert len(after["view_audit_g1"]) == 10, "the first block, and none of the second"
            ledger.catch_up()
        assert verified(ledger) == []
        assert len(ledger.audit()) == 30


def at_work(connection: Connection[DictRow]) -> list[DictRow]:
    """Sessions of the ledger that are still within a transaction."""
    return connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'action-ledger' AND state <> 'idle'"
    ).fetchall()
