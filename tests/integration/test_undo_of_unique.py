"""The undo of a change of unique columns goes back in the order in which it went, however many work on it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from tests.dump import dump_table
from tests.exact import run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres


@pytest.mark.parametrize(
    "unique",
    [
        "UNIQUE (rank)",
        "UNIQUE (doubled)",
        "EXCLUDE USING btree (rank WITH =)",
        "UNIQUE INDEX ON ranked ((rank + 1))",
    ],
)
def test_an_older_batch_waits_for_a_newer_one(
    ledger: Ledger, connection: Connection[DictRow], unique: str
) -> None:
    """Each batch took the places that the one before it had left."""
    run(
        connection,
        "CREATE TABLE ranked (id int PRIMARY KEY, rank int, doubled int GENERATED ALWAYS AS (rank * 2) STORED)",
        "INSERT INTO ranked SELECT i, i FROM generate_series(1, 40) i",
        f"CREATE {unique}" if "INDEX" in unique else f"ALTER TABLE ranked ADD {unique}",
    )
    before = dump_table(connection, "ranked")
    change = ledger.on("ranked").all().update(rank=col("rank") - 10).by("t").batch_size(10).run()
    assert change.progress().applied == 40
    undo = change.undo(by="t").submit()
    with ThreadPoolExecutor(1) as pool:
        with connection.transaction():
            connection.execute("SELECT FROM ranked WHERE id = 31 FOR UPDATE")
            ended = pool.submit(ledger.work, lambda: undo.status == "completed", concurrency=2)
            # Time for one to wait for this row, and for another to take the next batch up, if it may.
            connection.execute("SELECT pg_sleep(1)")
        ended.result(timeout=60)
    assert [*undo.failures(), *undo.conflicts()] == []
    assert undo.progress().applied == 40
    assert dump_table(connection, "ranked") == before
    check_invariants(connection, ledger=ledger, tables=["public.ranked"])
