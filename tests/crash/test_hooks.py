"""Who calls a hook is killed before the call, after it, and after it was noted: it is called at least once."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
from tests.crash.announcement import announce
from tests.crash.harness import finished, killed, make_places
from tests.crash.scenarios import Stage, add_one
from tests.invariants import check_invariants

CALLS = {"hook.claimed": [3], "hook.called": [1, 2, 3], "hook.noted": [1, 2, 3]}
"""The attempts that are calls, when two are killed at a step; one that is killed before it commits leaves no note."""
STEPS = tuple(CALLS)


@pytest.mark.crash
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("whose", ["request", "action"])
def test_killed_around_the_call(
    database_url: str, connection: Connection[DictRow], step: str, whose: str
) -> None:
    make_places(connection, 10)
    connection.execute("CREATE TABLE calls (delivery_id uuid, attempt int)")
    with open_ledger(database_url, actions=[announce]) as ledger:
        if whose == "request":
            add_one(Stage(database_url, ledger, connection)).notify(complete="told").run()
        else:
            request = ledger.on("places").all().apply("announce", url=database_url)
            ledger.worker().finish(request.by("user:1").submit().id)
        order = {"url": database_url, "task": "deliver", "of": database_url}
        for _ in range(2):
            killed({**order, "step": step})
            assert len(ledger.hooks.deliveries()) == 1
            finished(order)  # its lease has not run out: nobody calls
            connection.execute("UPDATE action_ledger.hook_deliveries SET available_at = now()")
        finished(order)
        finished(order)
        calls = connection.execute("SELECT * FROM calls ORDER BY attempt").fetchall()
        assert [call["attempt"] for call in calls] == CALLS[step]
        assert len({call["delivery_id"] for call in calls}) == 1
        assert ledger.hooks.deliveries() == []
        tables = ["places"] if whose == "request" else []
        check_invariants(connection, ledger=ledger, tables=tables)
