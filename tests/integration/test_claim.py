"""The claim, and putting a unit off: what two workers at once are given, in which order, and that none waits for another."""

from dataclasses import replace
from typing import Any, NoReturn
from uuid import UUID

import pytest
from psycopg import Connection, errors, sql
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.projections.store import Transaction
from action_ledger.workers import loop
from action_ledger.workers.admission import Admission, NotNow
from action_ledger.workers.claim import Unit, claim, holds, postpone
from tests.crash.harness import topics
from tests.crash.test_connections import struck
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.standing import impatient

BATCHES = 4
ALL_UNITS = sql.SQL("SELECT FROM {work_queue} FOR UPDATE")


def planned(ledger: Ledger, places: str, *, batches: int = BATCHES) -> ExecutionHandle:
    request = ledger.on(places).all().update(note="x").by("user:1")
    execution = request.batch_size(PLACES // batches).submit()
    assert ledger.worker().step(execution.id)
    return execution


def two(ledger: Ledger, places: str) -> list[ExecutionHandle]:
    """Plan two executions that have no record in common."""
    return [
        ledger.on(places).keys(keys).update(note="x").by("user:1").batch_size(PLACES).submit()
        for keys in (range(1, 11), range(11, 21))
    ]


def take(
    ledger: Ledger, transaction: Transaction, job: UUID | None = None, *without: UUID
) -> Unit | None:
    actions = [action.name for action in ledger.actions]
    return claim(transaction, job=job, queues=None, actions=actions, without=without)


@pytest.mark.parametrize("of_one_job", [True, False])
def test_a_unit_is_given_to_one_and_nobody_waits(
    ledger: Ledger, places: str, *, of_one_job: bool
) -> None:
    execution = planned(ledger, places)
    job = execution.id if of_one_job else None
    with impatient(ledger) as first, impatient(ledger) as second:
        taken = [take(ledger, each, job) for each in (first, second, first, second)]
        numbers = [unit.number for unit in taken if unit is not None]
        assert sorted(map(int, filter(None, numbers))) == [1, 1, 2, 2]
        assert taken[0] == taken[2], "what is one's own is not locked for oneself"
        assert taken[0] != taken[1]
    with impatient(ledger) as first, impatient(ledger) as second, impatient(ledger) as third:
        first.execute(ALL_UNITS)
        assert take(ledger, second, job) is None
        unit = take(ledger, first, job)
        assert unit is not None
        assert not holds(third, unit), "it is in other hands"
    execution.finish()


def test_a_job_that_is_left_out_is_not_looked_at(ledger: Ledger, places: str) -> None:
    first, second = two(ledger, places)
    with impatient(ledger) as transaction:
        given = take(ledger, transaction, None, first.id)
        assert given is not None
        assert given.job_id == second.id
        assert take(ledger, transaction, None, first.id, second.id) is None
    for execution in (first, second):
        execution.finish()


def test_who_asked_first_comes_first_whatever_the_ids_say(ledger: Ledger, places: str) -> None:
    """An id has the time of the machine that made it in it, and that clock may be wrong."""
    request = ledger.on(places).all().update(note="x").by("user:1")
    older, younger = uuid7(), uuid7()
    command = request.command()
    first = ledger.handle(command.model_copy(update={"command_id": younger}))
    assert next_of(ledger) == younger
    second = ledger.handle(command.model_copy(update={"command_id": older}))
    assert next_of(ledger) == younger
    for each in (first, second):
        ledger.execution(each).finish()


def test_what_met_a_fault_lets_the_others_go_first_for_a_while(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    troubled, other = two(ledger, places)
    assert next_of(ledger) == troubled.id, "it came first"
    with ledger.store.transaction() as transaction:
        unit = take(ledger, transaction, troubled.id)
        assert unit is not None
        assert postpone(transaction, unit, error="55P03", delay=0)
    assert next_of(ledger) == other.id
    connection.execute(
        "UPDATE action_ledger.work_queue SET available_at = available_at - interval '11 s'"
        " WHERE attempts > 0"
    )
    assert next_of(ledger) == troubled.id
    for execution in (troubled, other):
        execution.finish()


def next_of(ledger: Ledger) -> UUID | None:
    """Say which job the next unit is of; it is not kept."""
    with ledger.store.rehearsal() as transaction:
        unit = take(ledger, transaction)
        return unit.job_id if unit else None


def test_a_unit_that_is_put_off_is_not_given_before_its_time(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    execution = planned(ledger, places, batches=1)
    with impatient(ledger) as transaction:
        unit = take(ledger, transaction, execution.id)
        assert unit is not None
        assert unit.attempt == 1
        assert postpone(transaction, unit, error="40P01", delay=60, own=False)
    with impatient(ledger) as transaction:
        assert take(ledger, transaction, execution.id) is None
    (row,) = connection.execute(
        "SELECT attempts, faults, last_error, available_at - clock_timestamp() > interval '50 s' AS later"
        " FROM action_ledger.work_queue"
    ).fetchall()
    assert row == {"attempts": 1, "faults": 0, "last_error": "40P01", "later": True}
    connection.execute("UPDATE action_ledger.work_queue SET available_at = '-infinity'")
    execution.finish()


def test_nobody_puts_off_what_is_in_other_hands(ledger: Ledger, places: str) -> None:
    execution = planned(ledger, places, batches=1)
    with impatient(ledger) as holder, impatient(ledger) as other:
        unit = take(ledger, holder, execution.id)
        assert unit is not None
        assert not postpone(other, unit, error="55P03", delay=60)
    execution.finish()
    with impatient(ledger) as transaction:
        assert not postpone(transaction, unit, error="55P03", delay=60), "it is done"


@pytest.mark.parametrize(
    ("fault", "topic"), [("57014", "batch.split"), ("55P03", ""), ("42501", "batch.failed")]
)
def test_a_fault_says_nothing_of_a_unit_that_another_has_done_since(
    ledger: Ledger,
    places: str,
    connection: Connection[DictRow],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    fault: str,
    topic: str,
) -> None:
    execution = planned(ledger, places, batches=2)

    def refused(*_: object, **__: object) -> NoReturn:
        raise errors.lookup(fault)

    with monkeypatch.context() as patch:
        patch.setattr("action_ledger.workers.work.apply_batch", refused)

        def meanwhile() -> None:
            patch.undo()
            assert ledger.worker().step(execution.id)

        with struck("fault.met", 1, meanwhile):
            assert ledger.worker().step(execution.id)
    execution.finish()
    assert (execution.status, execution.progress().applied) == ("completed", PLACES)
    assert topics(connection).get(topic, 0) == 0
    assert not caplog.records
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("times", [1, 3])
def test_a_look_that_was_too_old_fails_nothing(
    ledger: Ledger,
    places: str,
    connection: Connection[DictRow],
    monkeypatch: pytest.MonkeyPatch,
    times: int,
) -> None:
    """A lease that came and went between the snapshot and the row lock leaves the version of the batch behind."""
    execution = planned(ledger, places)
    stale = 0

    def too_old(*given: Any, **how: Any) -> Unit | None:
        nonlocal stale
        unit = claim(*given, **how)
        if unit is None or stale == times:
            return unit
        stale += 1
        return replace(unit, batch_version=(unit.batch_version or 0) - 1)

    monkeypatch.setattr(loop, "claim", too_old)
    execution.finish()
    assert stale == times
    assert (execution.status, execution.progress().applied) == ("completed", PLACES)
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_rate_lets_no_more_batches_begin_than_it_takes(ledger: Ledger, places: str) -> None:
    """The first has booked nothing yet: without places the others would all begin with it."""
    request = ledger.on(places).all().update(note="x").by("user:1").rate(1_000)
    execution = request.batch_size(PLACES // BATCHES).submit()
    assert ledger.worker().step(execution.id)
    with impatient(ledger) as first, impatient(ledger) as second:
        units = [take(ledger, each, execution.id) for each in (first, second)]
        assert units[0] is not None
        assert units[1] is not None
        Admission(None).admit(first, units[0])
        with pytest.raises(NotNow):
            Admission(None).admit(second, units[1])
    execution.finish()
