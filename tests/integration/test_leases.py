"""Leases: what is done under one epoch when there is another, step by step and in one process."""

import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from psycopg import Connection
from psycopg.rows import DictRow
from uuid_utils.compat import uuid7

from action_ledger.domain.actor import Actor
from action_ledger.domain.commands import CancelExecution
from action_ledger.domain.errors import NotReversible
from action_ledger.ops import ExecutionHandle, Ledger, Settings, open_ledger
from action_ledger.workers.claim import claim
from action_ledger.workers.close import ExecutionClosed
from action_ledger.workers.effect_calls import Answer
from action_ledger.workers.effect_unit import EffectUnit
from action_ledger.workers.lease import LeaseLost
from action_ledger.workers.steps import strike
from action_ledger.workers.work import Workbench
from tests.dump import assert_at_rest
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.mailer import EFFECTS, calls

WORKER = "one name for both"


@pytest.fixture
def ledger(database_url: str) -> Generator[Ledger]:
    settings = Settings.model_validate({"lease_seconds": 30})
    with open_ledger(database_url, settings=settings, actions=EFFECTS) as opened:
        yield opened
        assert_at_rest(opened)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "letters"


@pytest.fixture
def execution(ledger: Ledger, places: str, log: Path) -> ExecutionHandle:
    planned = ledger.on(places).all().apply("letter", log=str(log)).by("user:1").submit()
    assert ledger.worker().step(planned.id)
    return planned


def take(execution: ExecutionHandle, *, hold: float = 0) -> EffectUnit:
    """Take the lease of its one batch; ``hold`` is for how long the transaction stays open."""
    store, actions = execution.ledger.store, execution.ledger.actions
    with store.transaction() as transaction:
        names = [action.name for action in actions]
        unit = claim(transaction, job=execution.id, queues=None, actions=names)
        assert unit is not None
        sizes = execution.ledger.settings.sizes
        bench = Workbench(store, actions, WORKER, sizes=sizes, unheld=True, lease_seconds=30)
        leased = bench.do(transaction, unit)
        time.sleep(hold)
    assert leased is not None
    return leased


def expire(connection: Connection[DictRow]) -> None:
    connection.execute(
        "UPDATE action_ledger.work_queue SET leased_until = clock_timestamp() - interval '1 s'"
    )


def epochs(connection: Connection[DictRow]) -> dict[int, int]:
    rows = connection.execute(
        "SELECT epoch, count(*) AS n FROM action_ledger.effect_results GROUP BY 1"
    )
    return {row["epoch"]: row["n"] for row in rows}


def test_an_older_epoch_keeps_nothing(
    execution: ExecutionHandle, connection: Connection[DictRow], log: Path
) -> None:
    first = take(execution)
    expire(connection)
    second = take(execution)
    first.run()
    assert epochs(connection) == {}
    assert execution.progress().pending == PLACES
    second.run()
    assert epochs(connection) == {2: PLACES}
    assert execution.progress().applied == PLACES
    assert max(calls(log).values()) == 2
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_an_older_epoch_ends_nothing(
    execution: ExecutionHandle, connection: Connection[DictRow], log: Path
) -> None:
    """It has kept everything, and then lost its lease: the end is the other's to write."""
    first = take(execution)
    others: list[EffectUnit] = []

    def lose(step: str) -> None:
        if step == "effect.before_end" and not others:
            expire(connection)
            others.append(take(execution))

    token = strike.set(lose)
    try:
        first.run()
    finally:
        strike.reset(token)
    assert epochs(connection) == {1: PLACES}
    assert execution.progress().pending == PLACES
    others[0].run()
    assert epochs(connection) == {1: PLACES}
    assert execution.progress().applied == PLACES
    assert set(calls(log).values()) == {1}
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_an_older_epoch_is_not_renewed(
    execution: ExecutionHandle, connection: Connection[DictRow]
) -> None:
    first = take(execution)
    expire(connection)
    second = take(execution)
    expire(connection)
    with pytest.raises(LeaseLost):
        first._lease.renew()
    first._lease.release(error="mine", delay=60)
    row = connection.execute("SELECT leased_epoch FROM action_ledger.work_queue").fetchone()
    assert row == {"leased_epoch": 2}
    second.run()
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_who_keeps_waits_for_who_takes(
    execution: ExecutionHandle, connection: Connection[DictRow]
) -> None:
    """While the next lease is being taken nothing can be kept that its holder would not see."""
    first = take(execution)
    expire(connection)
    units: list[EffectUnit] = []
    taker = threading.Thread(target=lambda: units.append(take(execution, hold=1)))
    taker.start()
    time.sleep(0.5)
    first.run()
    taker.join()
    assert epochs(connection) == {}
    units[0].run()
    assert epochs(connection) == {2: PLACES}
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_who_ends_waits_for_who_takes(
    execution: ExecutionHandle, connection: Connection[DictRow]
) -> None:
    first = take(execution)
    assert first._work_through() is None
    expire(connection)
    units: list[EffectUnit] = []
    taker = threading.Thread(target=lambda: units.append(take(execution, hold=1)))
    taker.start()
    time.sleep(0.5)
    with pytest.raises(LeaseLost):
        first._end(None)
    taker.join()
    units[0].run()
    assert execution.progress().applied == PLACES
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_who_slept_through_his_lease_asks_before_he_goes_on(
    execution: ExecutionHandle, connection: Connection[DictRow], log: Path
) -> None:
    first = take(execution)
    expire(connection)
    second = take(execution)
    first._lease._confirmed -= 60
    first.run()
    assert calls(log) == {}
    second.run()
    assert set(calls(log).values()) == {1}
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_who_knows_that_his_lease_is_lost_calls_for_nobody(
    execution: ExecutionHandle, connection: Connection[DictRow], log: Path
) -> None:
    first = take(execution)
    first._lease.lost.set()
    first.run()
    assert calls(log) == {}
    expire(connection)
    take(execution).run()
    assert execution.progress().applied == PLACES


def test_what_was_kept_and_is_told_again_stays_as_it_is(
    execution: ExecutionHandle, connection: Connection[DictRow]
) -> None:
    """The answer to its COMMIT was lost."""
    unit = take(execution)
    told: list[Answer] = []

    def again(step: str) -> None:
        if step == "effect.before_keep" and not told:
            told.extend(unit._answers)
        elif step == "effect.before_end":
            unit._answers += told
            unit._keep()

    token = strike.set(again)
    try:
        unit.run()
    finally:
        strike.reset(token)
    assert told
    assert execution.progress().applied == PLACES
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_no_undo_while_a_cancelled_batch_is_at_work(
    execution: ExecutionHandle, connection: Connection[DictRow]
) -> None:
    """What it keeps from then on would not be taken back."""
    unit = take(execution)
    refusals: list[NotReversible] = []

    def cancel(step: str) -> None:
        if step == "effect.kept" and not refusals:
            execution.ledger.handle(
                CancelExecution(
                    command_id=uuid7(), actor=Actor(subject="user:2"), execution_id=execution.id
                )
            )
            try:
                execution.undo(by="user:2").submit()
            except NotReversible as refusal:
                refusals.append(refusal)

    token = strike.set(cancel)
    try:
        with pytest.raises(ExecutionClosed):
            unit.run()
    finally:
        strike.reset(token)
    assert refusals
    applied = execution.progress().applied
    assert 0 < applied < PLACES
    assert execution.undo(by="user:2").run().progress().applied == applied
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_an_end_that_was_told_twice(
    execution: ExecutionHandle, connection: Connection[DictRow]
) -> None:
    """The answer to its COMMIT was lost, and it is tried again: that is an end, not a lost lease."""
    first = take(execution)
    first.run()
    assert first._end(None)
    assert execution.progress().applied == PLACES
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_a_lease_that_ran_out_and_that_nobody_took(
    execution: ExecutionHandle, connection: Connection[DictRow], log: Path
) -> None:
    """It is still its holder's."""
    first = take(execution)
    expire(connection)
    first.run()
    assert epochs(connection) == {1: PLACES}
    assert set(calls(log).values()) == {1}
    check_invariants(connection, ledger=execution.ledger, tables=["places"])


def test_leases_that_ran_out_are_counted(
    execution: ExecutionHandle, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    first = take(execution)
    expire(connection)
    second = take(execution)
    first.run()
    second.run()
    data = reader.get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    found = {metric.name: metric.data.data_points for metric in scope.metrics}
    assert [getattr(each, "value", None) for each in found["action_ledger.lease.expired"]] == [1]
    (fenced,) = found["action_ledger.fenced.writes"]
    assert 0 < getattr(fenced, "value", 0) <= PLACES
    counted = found["action_ledger.records"]
    assert [getattr(each, "value", None) for each in counted] == [PLACES]
    assert [dict(each.attributes or {})["action_ledger.outcome"] for each in counted] == ["applied"]
    provider.shutdown()
