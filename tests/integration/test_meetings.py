"""Where parts meet: effects and the service, rollbacks and leases, schedules and actions that others know."""

from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import InvalidParameters
from action_ledger.ops import ExecutionHandle, Ledger, Plan, Settings, open_ledger
from action_ledger.ops.plan import Ended
from action_ledger.workers.steps import strike
from action_ledger.workers.sweep import sweep
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.mailer import EFFECTS, calls, lines
from tests.schedules import database_time
from tests.services import serving
from tests.worker_process import until

WAIT = 20


@pytest.mark.slow
@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    "slow", ["UPDATE ON action_ledger.work_queue", "INSERT ON action_ledger.effect_results"]
)
def test_a_services_effects_share_one_connection(
    database_url: str, connection: Connection[DictRow], tmp_path: Path, slow: str
) -> None:
    """The lease is renewed while answers are kept, by several threads; every call is counted, and made once."""
    connection.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$"
    )
    connection.execute(
        f"CREATE TRIGGER slow AFTER {slow} FOR EACH STATEMENT EXECUTE FUNCTION slow()".encode()
    )
    log = tmp_path / "letters"
    settings = Settings(lease_seconds=1.5)
    with open_ledger(database_url, settings=settings, actions=EFFECTS) as ledger:
        request = ledger.on("places").all().apply("letter", log=str(log), seconds=0.01)
        execution = request.by("user:1").batch_size(PLACES).submit()
        with serving(ledger.service()):
            until(lambda: execution.status == "completed", "the end")
        assert execution.progress().applied == PLACES
        assert set(calls(log).values()) == {1}
        check_invariants(connection, ledger=ledger)


@pytest.mark.usefixtures("places")
def test_a_rollback_waits_for_a_batch_that_is_in_somebodys_hands(
    database_url: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    """Its former lease was given back; what was called for under that is compensated too."""
    log = tmp_path / "letters"
    settings = Settings(lease_seconds=30, pool_max_size=12)
    with open_ledger(database_url, settings=settings, actions=EFFECTS) as ledger:
        request = ledger.on("places").where(col("id") <= 20).apply("letter", log=str(log), bad=17)
        execution = request.by("u").batch_size(10).on_failure("rollback").submit()
        ledger.worker().step(execution.id)

        def leave(step: str) -> None:
            if step == "effect.before_end":
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            copy_context().run(stepping, ledger, execution, leave)
        ended, go_on = Event(), Event()
        claimed, free = Event(), Event()
        at_the_end = holding(ledger, execution, "effect.before_end", ended, go_on)
        at_the_claim = holding(ledger, execution, "batch.claimed", claimed, free)
        go_on.set()
        at_the_end.join(WAIT)
        assert execution.status == "rolling_back"
        sweep(ledger.store)
        assert execution.status == "rolling_back"
        free.set()
        at_the_claim.join(WAIT)
        ledger.worker().finish(execution.id)
        assert execution.status == "rolled_back"
        (undo,) = execution.undos()
        taken_back = undo.progress()
        # Of the 19 letters that were sent, those of 1 and 18 were read already.
        assert (taken_back.total, taken_back.applied, taken_back.failed) == (19, 17, 2)
        assert sum(line[0] == "returned" for line in lines(log)) == taken_back.applied
        check_invariants(connection, ledger=ledger)


def stepping(ledger: Ledger, execution: ExecutionHandle, hook: Callable[[str], None]) -> None:
    strike.set(hook)
    ledger.worker().step(execution.id)


def holding(
    ledger: Ledger, execution: ExecutionHandle, step: str, there: Event, go_on: Event
) -> Thread:
    """Let a worker take a unit in a thread, and hold it at a step."""

    def hold(reached: str) -> None:
        if reached == step and not there.is_set():
            there.set()
            assert go_on.wait(WAIT)

    thread = Thread(target=stepping, args=(ledger, execution, hold))
    thread.start()
    assert there.wait(WAIT)
    return thread


def test_the_ledgers_own_tables_are_altered_under_prepared_statements(
    database_url: str, places: str, connection: Connection[DictRow]
) -> None:
    settings = Settings(pool_max_size=1, pool_min_size=1)
    with open_ledger(database_url, settings=settings) as ledger:
        execution = ledger.on(places).all().update(score=1).by("u").batch_size(5).submit()
        worker = ledger.worker()
        for _ in range(10):
            worker.step(execution.id)
        connection.execute("ALTER TABLE action_ledger.view_executions_g1 ADD COLUMN late integer")
        worker.finish(execution.id)
        assert (execution.status, execution.progress().failed) == ("completed", 0)


class TestUntilIdle:
    def test_a_rollback_is_something_to_do(
        self, database_url: str, places: str, connection: Connection[DictRow]
    ) -> None:
        connection.execute("ALTER TABLE places ADD CONSTRAINT f CHECK (score <> 1099)")
        with open_ledger(database_url) as ledger:
            request = ledger.on(places).all().update(score=col("score") + 1000).by("u")
            execution = request.batch_size(2).on_failure("rollback").submit()
            assert ledger.service(Plan(name="w", until_idle=True)).run() is Ended.IDLE
            assert execution.status == "rolled_back"

    def test_what_is_paused_is_not(self, database_url: str, places: str) -> None:
        with open_ledger(database_url) as ledger:
            execution = ledger.on(places).all().update(score=1).by("u").submit()
            execution.pause(by="u")
            assert ledger.service(Plan(name="w", until_idle=True)).run() is Ended.IDLE
            assert execution.status == "paused"


@pytest.mark.usefixtures("places")
def test_a_schedule_waits_for_a_worker_that_knows_its_action(
    database_url: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    log = str(tmp_path / "letters")
    with (
        open_ledger(database_url, actions=EFFECTS) as host,
        open_ledger(database_url) as plain,
    ):
        request = host.on("places").keys([1]).apply("letter", log=log).by("u")
        schedule = request.schedule(at=database_time(host) + timedelta(seconds=0.5))
        until(lambda: plain.scheduler().step(), "the first try")
        assert schedule.status == "active"
        connection.execute("UPDATE action_ledger.schedule_queue SET available_at = '-infinity'")
        assert host.scheduler().step()
        assert [run.outcome for run in schedule.runs()] == ["fired"]


class TestRetry:
    def test_of_keys_that_were_moved(self, ledger: Ledger, connection: Connection[DictRow]) -> None:
        connection.execute(
            "CREATE TABLE moved (id int PRIMARY KEY, CONSTRAINT c CHECK (id <> 103));"
            " INSERT INTO moved SELECT generate_series(1, 5)"
        )
        first = ledger.on("moved").all().update(id=col("id") + 100).by("u").run()
        assert first.progress().failed == 1
        connection.execute("ALTER TABLE moved DROP CONSTRAINT c")
        assert first.retry(by="u").run().progress().applied == 1

    def test_keeps_the_size_that_follows(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        request = ledger.on(places).all().update(score=1).by("u")
        first = request.adaptive(seconds=1, minimum=2, maximum=10).submit()
        ledger.worker().step(first.id)
        first.cancel(by="u")
        again = first.retry(by="u", not_processed=True).submit()
        bodies = connection.execute(
            "SELECT body -> 'adaptive' AS adaptive FROM action_ledger.request_bodies WHERE owner = ANY(%s)",
            [[first.id, again.id]],
        ).fetchall()
        assert len(bodies) == 2
        assert bodies[0] == bodies[1] != {"adaptive": None}


class TestRefusals:
    @pytest.mark.usefixtures("places")
    def test_a_pace_of_effects(self, database_url: str, tmp_path: Path) -> None:
        with open_ledger(database_url, actions=EFFECTS) as ledger:
            request = ledger.on("places").all().apply("letter", log=str(tmp_path / "l")).by("u")
            for paced in (request.rate(20), request.concurrency(1)):
                with pytest.raises(InvalidParameters, match="outside"):
                    paced.submit()
            execution = request.submit()
            with pytest.raises(InvalidParameters, match="outside"):
                execution.retune(by="u", rate=20)
            execution.retune(by="u", priority=3)

    @pytest.mark.parametrize("rate", [1e-320, 1e-13, 1e300])
    def test_a_rate_that_nobody_can_count(self, ledger: Ledger, places: str, rate: float) -> None:
        with pytest.raises(InvalidParameters):
            ledger.on(places).all().update(score=1).by("u").rate(rate).run()
