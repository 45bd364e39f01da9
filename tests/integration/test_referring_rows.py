"""Rows that refer to each other in a long chain come back together, not by one a look."""

import time

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from tests.dump import dump_table
from tests.exact import run
from tests.invariants import check_invariants

RECORDS = 4000


@pytest.mark.parametrize("step", [1, -1], ids=["to the next", "to the one before"])
@pytest.mark.parametrize("wanting", [1, 40])
def test_one_that_is_refused_in_a_long_chain(
    ledger: Ledger, connection: Connection[DictRow], step: int, wanting: int
) -> None:
    """The rows lie so that halves come before what they refer to: then an undo brought back one row a pass."""
    run(
        connection,
        "CREATE TABLE links (id int PRIMARY KEY, name text UNIQUE, other int REFERENCES links)",
        f"INSERT INTO links SELECT i, 'n' || i, nullif(nullif(i + {step}, 0), {RECORDS} + 1)"
        f" FROM generate_series(1, {RECORDS}) i ORDER BY i * {step}",
        "CREATE INDEX ON links (other)",
    )
    refused = wanting if step == 1 else RECORDS - wanting + 1
    before = dump_table(connection, "links")
    execution = ledger.on("links").all().delete(hard=True).by("t").run()
    run(connection, f"INSERT INTO links VALUES (0, 'n{refused}', NULL)")
    begun = time.monotonic()
    undo = execution.undo(by="t").run()
    assert time.monotonic() - begun < 20
    assert (undo.progress().failed, undo.progress().applied) == (wanting, RECORDS - wanting)
    codes = {failure.key: failure.sqlstate for failure in undo.failures()}
    assert codes.pop((str(refused),)) == "23505"
    assert set(codes.values()) <= {"23503"}
    check_invariants(connection, ledger=ledger, tables=["public.links"])
    run(connection, "DELETE FROM links WHERE id = 0")
    assert execution.undo(by="t").run().progress().applied == wanting
    assert dump_table(connection, "links") == before
    check_invariants(connection, ledger=ledger, tables=["public.links"])
