"""Every step point there is: a process is killed there, and the next one too, at the same point of its recovery."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
from tests.crash import test_effects, test_exports, test_schedules
from tests.crash.harness import Watcher, finished, killed, scores
from tests.crash.scenarios import SCENARIOS, Stage, set_up
from tests.crash.step_points import in_sources
from tests.faults import injected
from tests.invariants import check_invariants

ELSEWHERE = {
    *test_effects.STEPS,
    *test_effects.UNDO_STEPS,
    *test_schedules.FIRING_STEPS,
    *test_schedules.STEERING_STEPS,
    *("schedule.before_append", "schedule.before_commit"),  # test_schedules
    *("request.before_append", "request.before_commit"),  # test_kills
    *("batch.cut", "batch.split"),  # test_pace
    "lease.renewed",  # test_effects
    *(*test_exports.STEPS, *test_exports.FAILING_STEPS),
    *(*test_exports.CLEARING_STEPS, *test_exports.CLEANING_STEPS),
}
CASES = [(name, step) for name, scenario in SCENARIOS.items() for step in scenario.steps]


def test_no_point_is_without_a_case() -> None:
    assert in_sources() == ELSEWHERE | {step for _, step in CASES}


@pytest.mark.crash
@pytest.mark.parametrize(("name", "step"), CASES)
def test_killed_once_and_twice(
    database_url: str, connection: Connection[DictRow], name: str, step: str
) -> None:
    scenario = SCENARIOS[name]
    drifted = name.startswith("drift")
    with open_ledger(database_url) as ledger:
        stage = Stage(database_url, ledger, connection)
        set_up(stage)
        with Watcher(database_url):
            order = {"url": database_url, **scenario.prepare(stage)}
            for _ in range(2):
                killed({**order, "step": step})
                injected(12, name.startswith(("follow", "rebuild")))
                if scenario.adds_up:
                    check_invariants(
                        connection,
                        ledger=ledger,
                        tables=[] if drifted else ["places"],
                        open_jobs=True,
                    )
            finished(order)
            for execution in ledger.executions():
                handle = ledger.execution(execution.id)
                if handle.status == "paused":
                    handle.resume(by="user:3")
                for job in (handle, *handle.undos()):
                    job.finish()
                    assert job.status in job.ended
        ledger.catch_up()
        if drifted:
            injected(23)
        else:
            assert scores(connection) == scenario.scores
        check_invariants(connection, ledger=ledger, tables=[] if drifted else ["places"])
