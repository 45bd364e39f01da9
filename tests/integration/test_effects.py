"""Effects from end to end: each record once, with what came of it kept, listed and counted."""

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import Parameters, effect
from action_ledger.domain.actions import Reversibility
from action_ledger.domain.columns import col
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.errors import (
    AlreadyUndone,
    InvalidParameters,
    NotReversible,
    UnknownAction,
    UnknownColumn,
)
from action_ledger.ops import ExecutionHandle, Ledger, Plan, Settings, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.plan import Ended
from tests.crash.harness import until
from tests.dump import assert_at_rest
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.mailer import EFFECTS, at_once, calls, letter, lines, send_async
from tests.services import open_units, serving


@pytest.fixture
def ledger(database_url: str) -> Generator[Ledger]:
    settings = Settings.model_validate({"pool_max_size": 12, "lease_seconds": 2})
    with open_ledger(database_url, settings=settings, actions=EFFECTS) as opened:
        yield opened
        assert_at_rest(opened)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "letters"


def kept(connection: Connection[DictRow]) -> list[DictRow]:
    return connection.execute(
        "SELECT key[1]::integer AS id, * FROM action_ledger.effect_results ORDER BY owner, position"
    ).fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("cancelled", [False, True])
def test_a_lock_on_the_table_is_waited_out_under_the_lease(
    database_url: str, connection: Connection[DictRow], places: str, log: Path, *, cancelled: bool
) -> None:
    """Longer than more leases than a batch is given up after, with a worker for each of them."""
    settings = Settings.model_validate({"lease_seconds": 0.5, "poll_seconds": 0.3})
    with open_ledger(database_url, settings=settings, actions=EFFECTS) as ledger:
        request = ledger.on(places).all().apply("letter", log=str(log))
        execution = request.by("user:1").submit()
        assert ledger.worker().step(execution.id)
        service = ledger.service(Plan(name="many", concurrency=7))
        with psycopg.connect(database_url) as other, serving(service):
            other.execute("LOCK TABLE places IN ACCESS EXCLUSIVE MODE")
            time.sleep(5)
            if cancelled:
                execution.cancel(by="user:1")
                until(lambda: open_units(connection) == 0, "the batch is left")
            other.rollback()
            until(lambda: execution.status != "running", "the end")
        counts = execution.progress()
        assert (counts.applied, counts.failed) == ((0, 0) if cancelled else (PLACES, 0))
        assert set(calls(log).values()) == (set() if cancelled else {1})
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.slow
def test_a_worker_that_is_stopped_leaves_what_is_locked_to_the_next(
    database_url: str, connection: Connection[DictRow], places: str, log: Path
) -> None:
    """It was heard only once the lock had gone: for up to twenty minutes."""
    settings = Settings.model_validate({"lease_seconds": 2})
    with open_ledger(database_url, settings=settings, actions=EFFECTS) as ledger:
        request = ledger.on(places).all().apply("letter", log=str(log))
        execution = request.by("user:1").submit()
        assert ledger.worker().step(execution.id)
        with psycopg.connect(database_url) as other:
            other.execute("LOCK TABLE places IN ACCESS EXCLUSIVE MODE")
            with serving(service := ledger.service(Plan(name="leaves"))) as thread:
                leased = "SELECT FROM action_ledger.work_queue WHERE leased_by IS NOT NULL"
                until(lambda: bool(connection.execute(leased).fetchall()), "the lease")
                time.sleep(1)
                service.stop()
                thread.join(2)
                assert not thread.is_alive()
            assert (len(connection.execute(leased).fetchall()), open_units(connection)) == (0, 1)
        ledger.worker().finish(execution.id)
        assert execution.progress().applied == PLACES
        assert set(calls(log).values()) == {1}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_handler_is_called_once_a_record(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    execution = (
        ledger.on(places)
        .where(col("country") == "FR")
        .apply("letter", log=str(log))
        .by("user:1")
        .batch_size(20)
        .run()
    )
    assert execution.status == "completed"
    progress = execution.progress()
    assert (progress.total, progress.applied) == (PLACES // 2, PLACES // 2)
    rows = kept(connection)
    assert len(rows) == PLACES // 2
    assert rows[0]["result"] == {"letter": rows[0]["id"], "to": f"place {rows[0]['id']}"}
    assert calls(log) == {str(row["idempotency_key"]): 1 for row in rows}
    told = list(execution.results())
    results = {row["id"]: row["result"] for row in rows}
    assert {int(each.key[0]): each.result for each in told} == results
    assert {each.outcome for each in told} == {"applied"}
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_handlers_that_fail(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """One raises, one refuses, one is slow: each is the record's own failure, with its reason."""
    execution = (
        ledger.on(places)
        .where(col("id") <= 20)
        .apply("express", log=str(log), bad=6, refused=5, slow=7)
        .by("user:1")
        .run()
    )
    progress = execution.progress()
    assert (progress.status, progress.applied, progress.failed) == ("completed", 12, 8)
    failed = {int(each.key[0]): (each.reason, each.message) for each in execution.failures()}
    assert failed == {
        6: ("handler_failed", "ValueError: no such address: place 6"),
        12: ("handler_failed", "ValueError: no such address: place 12"),
        18: ("handler_failed", "ValueError: no such address: place 18"),
        7: (
            "timed_out",
            "it took longer than 0.3 seconds; whether it was done is not known",
        ),
        **dict.fromkeys((5, 10, 15, 20), ("handler_refused", None)),
    }
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_records_that_no_longer_match_are_not_called_for(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    execution = (
        ledger.on(places)
        .where(col("country") == "FR")
        .apply("letter", log=str(log))
        .by("user:1")
        .submit()
    )
    ledger.worker().step(execution.id)  # planned
    connection.execute("UPDATE places SET country = 'DE' WHERE id IN (2, 4)")
    connection.execute("DELETE FROM places WHERE id = 6")
    ledger.worker().finish(execution.id)
    reasons = {int(each.key[0]): each.reason for each in execution.skipped()}
    assert reasons == {2: "no_longer_matches", 4: "no_longer_matches", 6: "vanished"}
    assert sum(calls(log).values()) == execution.progress().applied == PLACES // 2 - 3
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_async_handlers_keep_to_their_limit(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    started = time.monotonic()
    execution = (
        ledger.on(places).all().apply("mailing", log=str(log), seconds=0.05).by("user:1").run()
    )
    assert execution.progress().applied == PLACES
    assert at_once(log) == 8
    assert time.monotonic() - started < PLACES * 0.05
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_plain_handlers_keep_to_theirs(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    ledger.on(places).where(col("id") <= 20).apply("pair", log=str(log), seconds=0.02).by(
        "user:1"
    ).run()
    assert at_once(log) == 2
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_call_may_take_longer_than_the_lease(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """It is renewed: another worker that looks all the time does not get it."""
    execution = (
        ledger.on(places)
        .where(col("id") <= 2)
        .apply("letter", log=str(log), seconds=3)
        .by("user:1")
        .run(workers=2)
    )
    assert execution.progress().applied == 2
    assert set(calls(log).values()) == {1}
    events = connection.execute(
        "SELECT topic FROM action_ledger.stored_events WHERE topic = 'batch.started'"
    ).fetchall()
    assert len(events) == 1
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_handler_that_holds_everything_up_loses_its_lease(
    database_url: str, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """An async handler that blocks cannot be timed out; its batch must not be held for ever by it."""
    settings = Settings.model_validate({"lease_seconds": 0.5})
    blocking = letter("blocking", handler=send_async, timeout=0.3)
    with open_ledger(database_url, settings=settings, actions=[blocking]) as ledger:
        execution = (
            ledger.on(places)
            .keys([1])
            .apply("blocking", log=str(log), seconds=4, lingering=True)
            .by("user:1")
            .submit()
        )
        worker = threading.Thread(target=ledger.worker().step, args=(execution.id,))
        worker.start()
        until(lambda: calls(log), seconds=5)
        until(lambda: lease_has_run_out(connection), seconds=3)
        assert worker.is_alive()
        worker.join()
        ledger.worker().finish(execution.id)
        assert [each.reason for each in execution.failures()] == ["timed_out"]
        check_invariants(connection, ledger=ledger, tables=["places"])


def lease_has_run_out(connection: Connection[DictRow]) -> bool:
    return bool(
        connection.execute(
            "SELECT FROM action_ledger.work_queue WHERE leased_until < clock_timestamp()"
        ).fetchall()
    )


def with_options(request: Request, **options: Any) -> RequestExecution:
    return RequestExecution.model_validate({**request.command().model_dump(), **options})


def at_work(execution: ExecutionHandle, connection: Connection[DictRow]) -> threading.Thread:
    """Let a worker at it, and wait until something of it is kept."""
    worker = threading.Thread(target=execution.ledger.worker().finish, args=(execution.id,))
    worker.start()
    until(lambda: kept(connection))
    return worker


def test_cancelled_in_the_middle(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """What was sent is sent: it counts as applied, the rest as pending, and the numbers add up."""
    execution = (
        ledger.on(places)
        .all()
        .apply("letter", log=str(log), seconds=0.05, bad=4)
        .by("user:1")
        .batch_size(60)
        .submit()
    )
    worker = at_work(execution, connection)
    execution.cancel(by="user:2")
    worker.join(20)
    assert not worker.is_alive()
    progress = execution.progress()
    called = len(calls(log))
    assert progress.status == "cancelled"
    assert progress.applied + progress.failed == called == len(kept(connection))
    assert 0 < called < 60
    assert progress.pending == PLACES - called
    assert {r["leased_by"] for r in connection.execute("TABLE action_ledger.work_queue")} == set()
    check_invariants(connection, ledger=ledger, tables=["places"])
    # The rest can be asked for again, and nobody gets a second letter but those that failed.
    left = {each.key for each in execution.not_processed()}
    assert len(left) == progress.pending
    again = execution.retry(by="user:1", not_processed=True).run()
    assert again.progress().total == progress.pending + progress.failed
    check_invariants(connection, ledger=ledger, tables=["places"])
    # What had been sent can be called back.
    undo = execution.undo(by="user:2").run()
    assert undo.progress().total == progress.applied
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_paused_in_the_middle(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """The batch at work comes to its end, and the next one waits."""
    execution = (
        ledger.on(places)
        .all()
        .apply("letter", log=str(log), seconds=0.03)
        .by("user:1")
        .batch_size(40)
        .submit()
    )
    worker = at_work(execution, connection)
    execution.pause(by="user:2")
    worker.join(20)
    assert execution.status == "paused"
    assert execution.progress().applied == 40
    execution.resume(by="user:2")
    ledger.worker().finish(execution.id)
    assert execution.progress().applied == PLACES
    assert set(calls(log).values()) == {1}
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_too_many_failures_stop_it(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """The policy is looked at when a batch ends."""
    request = (
        ledger.on(places).all().apply("letter", log=str(log), bad=10).by("user:1").batch_size(25)
    )
    command = with_options(request, on_failure="stop", max_failures=3)
    execution = ledger.run(command)
    progress = execution.progress()
    assert (progress.status, progress.failed, progress.applied) == ("failed", 5, 45)
    assert progress.pending == 50
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_too_many_failures_roll_it_back(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    request = (
        ledger.on(places).all().apply("letter", log=str(log), bad=10).by("user:1").batch_size(25)
    )
    command = with_options(request, on_failure="rollback", max_failures=3)
    execution = ledger.run(command)
    assert execution.status == "rolled_back"
    (undo,) = execution.undos()
    # bad is for the way back too: 1, 11, 21, 31 and 41 were read already.
    assert (undo.progress().applied, undo.progress().failed) == (40, 5)
    assert len(calls(log, "returned")) == 40
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_what_is_irreversible_cannot_be_rolled_back(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    request = ledger.on(places).all().apply("postcard", log=str(log)).by("user:1")
    with pytest.raises(InvalidParameters):
        ledger.run(with_options(request, on_failure="rollback"))
    execution = request.run()
    with pytest.raises(NotReversible, match="the action postcard is irreversible"):
        execution.undo(by="user:2").run()
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_column_that_is_not_there(database_url: str, places: str) -> None:
    effect = letter("short", columns=("nickname",))
    with open_ledger(database_url, actions=[effect]) as other, pytest.raises(UnknownColumn):
        other.on(places).all().apply("short", log="-").by("user:1").run()


def test_a_worker_takes_up_only_what_it_knows(
    ledger: Ledger, database_url: str, places: str, connection: Connection[DictRow], log: Path
) -> None:
    execution = ledger.on(places).all().apply("letter", log=str(log)).by("user:1").submit()
    with open_ledger(database_url) as other:
        assert not other.worker().step(execution.id)
        assert other.on(places).keys([1]).archive().by("user:2").run().status == "completed"
    ledger.worker().finish(execution.id)
    assert execution.progress().applied == PLACES
    check_invariants(connection, ledger=ledger, tables=[])


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("fault", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("waits", [True, False])
def test_whatever_a_handler_raises_in_a_worker_is_its_records(
    database_url: str, fault: BaseException, *, waits: bool
) -> None:
    """Somebody's Ctrl-C comes to the main thread only."""

    def plain(record: dict[str, Any], _parameters: Parameters, _context: Any) -> None:
        if record["id"] == 3:
            raise fault

    async def asynchronous(record: dict[str, Any], parameters: Parameters, context: Any) -> None:
        plain(record, parameters, context)

    made = effect(label="Call", description="Call each.", destructive=False, name="call")
    called = made(asynchronous if waits else plain)
    with open_ledger(database_url, actions=[called]) as ledger, serving(ledger.service()) as thread:
        execution = ledger.on("places").keys(range(1, 6)).apply("call").by("user:1").submit()
        until(lambda: execution.status == "completed", "its end")
        assert thread.is_alive()
        assert [(one.key, one.reason) for one in execution.failures()] == [
            (("3",), "handler_failed")
        ]


def test_a_call_that_does_not_let_itself_be_cancelled_is_left_behind(
    database_url: str, places: str, connection: Connection[DictRow]
) -> None:
    """As a plain handler is that hangs: it is a failure of its record, and the worker goes on."""
    over = threading.Event()

    @effect(label="Call", description="Call each.", destructive=False, timeout=0.2, concurrency=2)
    async def stubborn(record: dict[str, Any], _parameters: Parameters, _context: Any) -> None:
        """Try again whatever happens, as bare ``except`` clauses do."""
        while record["id"] == 3 and not over.is_set():
            with suppress(BaseException):
                await asyncio.sleep(0.05)

    settings = Settings.model_validate({"lease_seconds": 2})
    with open_ledger(database_url, settings=settings, actions=[stubborn]) as ledger:
        request = ledger.on(places).keys(range(1, 11)).apply("stubborn").by("user:1")
        execution = request.submit()
        thread = threading.Thread(target=execution.finish)
        thread.start()
        thread.join(20)
        hangs = thread.is_alive()
        over.set()
        thread.join()
        assert not hangs
        assert [(one.key, one.reason) for one in execution.failures()] == [(("3",), "timed_out")]
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_who_does_not_know_an_action_does_not_wait_for_ever(
    ledger: Ledger, database_url: str, places: str, log: Path
) -> None:
    """``.run()`` is now and here. What was asked for is left to those who know it."""
    execution = ledger.on(places).keys([1, 2]).apply("letter", log=str(log)).by("user:1").run()
    waiting = ledger.on(places).keys([3]).apply("letter", log=str(log)).by("user:1").submit()
    with open_ledger(database_url) as other:
        with pytest.raises(UnknownAction) as refused:
            other.execution(waiting.id).finish()
        assert refused.value.action == "letter"
        with pytest.raises(UnknownAction):
            other.execution(execution.id).undo(by="user:1").run(workers=2)
        done = other.on(places).keys([4]).update(note="x").by("user:1").run()
        assert done.undo(by="user:1").run().status == "completed"
        assert other.service(Plan(name="other", until_idle=True)).run() is Ended.IDLE
    waiting.finish()
    (undo,) = execution.undos()
    undo.finish()
    assert (waiting.status, undo.status) == ("completed", "completed")


def test_a_table_that_is_altered_in_the_middle(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """What was done is done, the rest has failed for the reason that there is, and the execution comes to an end."""
    many = 450
    connection.execute(
        "INSERT INTO places (id, name, country, score)"
        " SELECT i, 'place ' || i, 'FR', i FROM generate_series(%s::integer, %s) i",
        [PLACES + 1, many],
    )
    execution = (
        ledger.on(places).all().apply("pair", log=str(log), seconds=0.01).by("user:1").submit()
    )
    worker = at_work(execution, connection)
    connection.execute("ALTER TABLE places DROP COLUMN note")
    worker.join()
    progress = execution.progress()
    assert progress.status == "completed"
    assert progress.applied == sum(calls(log).values())
    assert progress.applied + progress.failed == many
    assert {(each.reason, each.sqlstate) for each in execution.failures()} == {
        ("refused_by_database", "42703")
    }
    check_invariants(connection, ledger=ledger, tables=[])


def test_run_within_a_loop_of_the_host(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    async def host() -> str:
        await asyncio.sleep(0)
        return ledger.on(places).keys([1, 2]).apply("mailing", log=str(log)).by("u").run().status

    assert asyncio.run(host()) == "completed"
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_rollback_waits_for_batches_at_work(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """What another worker had sent when too many failed is called back as well."""
    connection.execute("UPDATE places SET id = id + 1000 WHERE id > 10")
    request = (
        ledger.on(places)
        .all()
        .apply("letter", log=str(log), seconds=0.05, refused=2)
        .by("user:1")
        .batch_size(10)
    )
    command = with_options(request, on_failure="rollback", max_failures=0)
    execution = ledger.run(command, workers=3)
    assert execution.status == "rolled_back"
    progress = execution.progress()
    assert progress.applied >= 10
    assert {r.key for r in execution.results() if r.outcome == "applied"} == {
        (line[1],) for line in lines(log) if line[0] == "returned"
    }
    assert execution.undos()[0].progress().applied == progress.applied
    check_invariants(connection, ledger=ledger, tables=[])


def test_undo_of_some_and_again(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """By keys and by batches; nothing is compensated twice, and there is no redo of an effect."""
    execution = (
        ledger.on(places).all().apply("letter", log=str(log)).by("user:1").batch_size(40).run()
    )
    connection.execute("DELETE FROM places WHERE id = 3")
    some = execution.undo(by="user:2").keys([2, 3]).run()
    assert some.progress().applied == 2
    returned = connection.execute(
        "SELECT result FROM action_ledger.effect_results WHERE undo_id IS NOT NULL ORDER BY position"
    ).fetchall()
    # Of a record that is gone the key is left, and what the handler had returned.
    assert [row["result"] for row in returned] == [
        {"returned": 2, "name": "place 2"},
        {"returned": 3, "name": None},
    ]
    with pytest.raises(AlreadyUndone):
        execution.undo(by="user:2").keys([2]).run()
    first = execution.undo(by="user:2").batches([1]).run()
    assert first.progress().applied == 38
    rest = execution.undo(by="user:2").run()
    assert rest.progress().applied == 60
    assert set(calls(log, "returned").values()) == {1}
    with pytest.raises(AlreadyUndone):
        execution.undo(by="user:2").run()
    with pytest.raises(NotReversible, match="redo"):
        rest.redo(by="user:2").run()
    check_invariants(connection, ledger=ledger, tables=[])


def test_composite_keys_of_odd_types(database_url: str, connection: Connection[DictRow]) -> None:
    connection.execute(
        "CREATE TABLE odd (id numeric, at timestamptz, tag text[], name text, open boolean,"
        " PRIMARY KEY (id, at, tag))"
    )
    connection.execute(
        "INSERT INTO odd SELECT i + 0.50, '2024-02-29 12:00+00'::timestamptz + i * interval '1 day',"
        " ARRAY['a,\"b', i::text], 'n' || i, i % 2 = 0 FROM generate_series(1, 20) i"
    )
    seen: list[dict[str, Any]] = []
    effect = letter(
        "odd",
        handler=lambda record, _, context: seen.append({**record, "key": context.key}),
        compensate=lambda *given: given[3].key,
        reversibility=Reversibility.COMPENSABLE,
    )
    with open_ledger(database_url, actions=[effect]) as other:
        execution = (
            other.on("odd").where(col("open").in_([True])).apply("odd", log="-").by("u").run()
        )
        assert execution.progress().applied == 10
        assert seen[0]["at"] == "2024-03-02T12:00:00+00:00"
        assert (seen[0]["id"], seen[0]["open"]) == (Decimal("2.50"), True)
        assert seen[0]["key"] == ("2.50", "2024-03-02 12:00:00+00", '{"a,\\"b",2}')
        undo = execution.undo(by="u").keys([(Decimal("4.5"), seen[1]["at"], ['a,"b', "4"])]).run()
        assert undo.progress().applied == 1
        check_invariants(connection, ledger=other, tables=[])


def test_an_undo_that_stops_in_the_middle(
    ledger: Ledger, places: str, connection: Connection[DictRow], log: Path
) -> None:
    """The table is gone by then: what was compensated counts, the rest is listed, and can be asked for again."""
    connection.execute(
        "INSERT INTO places (id, name, country, score)"
        " SELECT i, 'place ' || i, 'FR', i FROM generate_series(%s::integer, 300) i",
        [PLACES + 1],
    )
    execution = ledger.on(places).all().apply("letter", log=str(log)).by("user:1").run()
    undo = execution.undo(by="user:2").submit()
    worker = threading.Thread(target=ledger.worker().finish, args=(undo.id,))
    worker.start()
    until(lambda: calls(log, "returned"))
    connection.execute("ALTER TABLE places RENAME COLUMN note TO remark")
    worker.join()
    progress = undo.progress()
    assert progress.status == "failed"
    assert progress.applied == sum(calls(log, "returned").values()) < 300
    assert progress.applied + progress.failed == 300
    assert len(list(undo.failures())) == progress.failed
    check_invariants(connection, ledger=ledger, tables=[])
    rest = execution.undo(by="user:2").run()
    assert rest.progress().applied == progress.failed
    check_invariants(connection, ledger=ledger, tables=[])
