"""Every step point there is: a process is killed there, the next one at the same point of its recovery, a third one later."""

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import open_ledger
from tests.crash import test_effects, test_exports, test_hooks, test_schedules
from tests.crash.harness import Watcher, finished, killed, scores
from tests.crash.scenarios import SCENARIOS, Stage, set_up
from tests.crash.step_points import in_sources
from tests.faults import injected
from tests.invariants import check_invariants
from tests.shop import ACTIONS

ELSEWHERE = {
    *test_effects.STEPS,
    *test_effects.UNDO_STEPS,
    *test_schedules.FIRING_STEPS,
    *test_schedules.STEERING_STEPS,
    *("schedule.before_append", "schedule.before_commit"),  # test_schedules
    *("request.before_append", "request.before_commit"),  # test_kills
    *("batch.cut", "batch.split"),  # test_pace
    "lease.renewed",  # test_effects
    *test_hooks.STEPS,
    *(*test_exports.STEPS, *test_exports.FAILING_STEPS),
    *(*test_exports.CLEARING_STEPS, *test_exports.CLEANING_STEPS),
}
CASES = [(name, step) for name, scenario in SCENARIOS.items() for step in scenario.steps]


def test_no_point_is_without_a_case() -> None:
    assert in_sources() == ELSEWHERE | {step for _, step in CASES}


def further(steps: tuple[str, ...], step: str) -> tuple[str, ...]:
    """Give the point after one, if there is another."""
    return steps[steps.index(step) + 1 :][:1]


@pytest.mark.crash
@pytest.mark.parametrize(("name", "step"), CASES)
def test_killed_again_and_again(
    database_url: str, connection: Connection[DictRow], name: str, step: str
) -> None:
    scenario = SCENARIOS[name]
    drifted = name.startswith("drift")
    with open_ledger(database_url, actions=ACTIONS) as ledger:
        stage = Stage(database_url, ledger, connection)
        set_up(stage)
        with Watcher(database_url):
            order = {"url": database_url, **scenario.prepare(stage)}
            for at in (step, step, *further(scenario.steps, step)):
                killed({**order, "step": at})
                injected(7, name == "put off")
                injected(12, name.startswith(("follow", "rebuild")))
                if scenario.adds_up:
                    check_invariants(
                        connection,
                        ledger=ledger,
                        tables=[] if drifted else ["places"],
                        open_jobs=True,
                    )
            finished(order)
            for chain in ledger.chains():
                ledger.chain(chain.id).finish()
            for execution in reversed(ledger.executions()):  # one may wait for those before it
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
