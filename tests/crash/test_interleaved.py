"""Another action on the same rows, begun at each step of an undo: every record is taken back, or in conflict and listed."""

import threading

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import open_ledger
from tests.crash.harness import Watcher, make_places, scores, until
from tests.crash.scenarios import COMPENSATIONS, RECORDS, UNDO, Stage, add_one
from tests.crash.test_connections import struck
from tests.crash.test_contention import waiting
from tests.invariants import check_invariants

pytestmark = [pytest.mark.crash, pytest.mark.fault(20)]


@pytest.mark.parametrize("policy", ["skip", "force"])
@pytest.mark.parametrize("step", [*UNDO, *COMPENSATIONS])
def test_another_action_at_a_step(
    database_url: str, connection: Connection[DictRow], step: str, policy: str
) -> None:
    make_places(connection, RECORDS)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(Stage(database_url, ledger, connection)).run()
        other = ledger.on("places").all().update(score=col("score") + 10).by("user:3")
        thread = threading.Thread(target=other.batch_size(15).run)

        def meanwhile() -> None:
            thread.start()
            until(lambda: not thread.is_alive() or waiting(connection), "its end, or its wait")

        with struck(step, 1, meanwhile):
            undo = execution.undo(by="user:2").on_conflict(policy).run()
        thread.join(30)
        assert not thread.is_alive()
        assert {each.status for each in ledger.executions()} | {undo.status} == {"completed"}
        found = scores(connection)
        in_conflict = found.pop(11, 0)
        assert in_conflict == len(list(undo.conflicts()))
        assert undo.progress().applied == RECORDS - in_conflict
        assert sum(found.values()) == RECORDS - in_conflict
        assert found.keys() <= ({10} if policy == "skip" else {0, 10})
        assert policy == "skip" or not in_conflict
        check_invariants(connection, ledger=ledger, tables=["places"])
