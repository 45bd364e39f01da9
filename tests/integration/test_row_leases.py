"""Row locks that are leases: whoever looks second is given something else, or nothing, and waits for nobody."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.rows import DictRow

from action_ledger.domain import Notice
from action_ledger.domain.columns import col
from action_ledger.domain.confirmation import NO_CONFIRMATION
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from action_ledger.projections.store import Transaction
from action_ledger.workers.confirm import Confirming
from action_ledger.workers.hook_caller import SQL as HOOKS
from tests.chains import make_tables, story, three
from tests.crash.harness import topics
from tests.invariants import check_invariants
from tests.schedules import hourly, hours_ago, overdue
from tests.standing import impatient, standing


def add_one(ledger: Ledger, place: int) -> Request:
    return ledger.on("places").keys([place]).update(score=col("score") + 1).by("user:1")


def done_by_two(look: Callable[[], object], step: str, done: Callable[[], list[int]]) -> None:
    """There are two things to be done. While one is in hand the other one is given out, and then nothing."""
    with standing(step, look):
        assert look()
        assert sorted(done()) == [0, 1], "the one in hand is not done yet, the other one is"
        assert not look(), "that in hand is nobody else's"
        assert sorted(done()) == [0, 1]
    assert done() == [1, 1]
    assert not look()


@pytest.mark.usefixtures("places")
def test_a_schedule(ledger: Ledger, connection: Connection[DictRow]) -> None:
    schedules = [hourly(ledger), hourly(ledger)]
    for schedule in schedules:
        overdue(ledger, schedule.id, hours_ago(ledger, 0))
    done_by_two(
        lambda: ledger.scheduler().step(),
        "firing.claimed",
        lambda: [len(schedule.runs()) for schedule in schedules],
    )
    assert topics(connection)["schedule.fired"] == 2
    for execution in ledger.executions():
        ledger.execution(execution.id).finish()
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_chain(ledger: Ledger, connection: Connection[DictRow]) -> None:
    make_tables(connection)
    chains = [three(ledger, on_locked="wait").submit() for _ in range(2)]
    done_by_two(
        lambda: ledger.conductor().step(),
        "chain.claimed",
        lambda: [story(chain).count("step_started") for chain in chains],
    )
    for chain in chains:
        chain.cancel(by="user:1")


@pytest.mark.usefixtures("places")
def test_a_command_of_a_hosts(
    ledger: Ledger, connection: Connection[DictRow], database_url: str
) -> None:
    with psycopg.connect(database_url) as host:
        inside = ledger.within(host)
        executions = [add_one(inside, place).submit() for place in (1, 2)]

    def taken_in() -> list[int]:
        return [int(execution.status != "accepted") for execution in executions]

    done_by_two(lambda: ledger.inbox.over(ledger.store).step(), "inbox.claimed", taken_in)
    for execution in executions:
        execution.finish()
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.usefixtures("places")
def test_a_hook(ledger: Ledger) -> None:
    """Told again is allowed, but not while the first call is at work: its lease is committed before it begins."""
    heard: list[Notice] = []
    ledger.hook("told")(heard.append)
    executions = [add_one(ledger, place).notify(complete="told").submit() for place in (1, 2)]
    worker = ledger.worker()
    while worker.step():
        pass
    ledger.catch_up()
    values = {"hooks": ["told"], "lease": 60, "tries": 3}

    def take(transaction: Transaction) -> Any:
        row = transaction.execute(HOOKS["claim"], values).fetchone()
        return row and row["job_id"]

    with impatient(ledger) as first, impatient(ledger) as second:
        taken = [take(each) for each in (first, second, first, second)]
    assert taken[2:] == [None, None]
    assert {*taken[:2]} == {execution.id for execution in executions}
    assert ledger.hooks.deliver() == 0, "they are leased"
    assert heard == []


@pytest.mark.usefixtures("places")
def test_a_preview(ledger: Ledger, connection: Connection[DictRow]) -> None:
    """Who has not waited would plan and change everything, to be told at its end that the preview is used."""
    request = add_one(ledger, 1)
    command = request.confirm(request.preview().token).command()
    action = ledger.actions.get("update")

    def begin(transaction: Transaction) -> bool:
        return Confirming(transaction, NO_CONFIRMATION, command).begin(action, ledger.actions)

    with impatient(ledger) as first:
        assert begin(first)
        with pytest.raises(errors.LockNotAvailable), impatient(ledger) as second:
            begin(second)
    with impatient(ledger) as third:
        assert begin(third), "it was not used"
    ledger.handle(command, now=True)
    assert topics(connection)["preview.used"] == 1
