"""The service in this process: what wakes it, what it costs while it waits, whom it serves first, and its faults."""

import logging
import time
from functools import partial
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import InvalidValue, StoreUnavailable, WorkerFailed
from action_ledger.ops import Ledger, Plan, direct
from action_ledger.ops import attendant as attending
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.ops.plan import Ended
from action_ledger.workers import loop
from tests.crash.test_contention import default
from tests.invariants import check_invariants
from tests.servers import TestServer
from tests.services import LONG, a_ledger, followed, idle, open_units, serving, submit
from tests.worker_process import until


def completed(execution: ExecutionHandle) -> bool:
    return execution.status == "completed"


@pytest.mark.usefixtures("places")
class TestWaking:
    def test_work_is_taken_up_at_once_by_listening_alone(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        with a_ledger(database_url, poll_seconds=LONG, lease_seconds=LONG) as ledger:
            with serving(ledger.service()):
                until(lambda: idle(connection))
                time.sleep(0.3)
                took: list[float] = []
                for note in ("a", "b", "c", "d"):
                    execution = submit(ledger, note)
                    took.append(until(partial(completed, execution)))
                assert min(took) < 0.5  # on a busy machine not each of them
            check_invariants(connection, ledger=ledger, tables=["places"])

    def test_a_pooler_or_a_setting_leaves_it_to_the_poll(
        self,
        database_url: str,
        connection: Connection[DictRow],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for listen in (False, True):
            monkeypatch.setattr(attending, "is_direct", lambda _: False)
            with (
                a_ledger(
                    database_url, listen=listen, poll_seconds=0.3, lease_seconds=LONG
                ) as ledger,
                caplog.at_level(logging.WARNING),
                serving(ledger.service()),
            ):
                until(lambda: idle(connection))
                assert not listeners(connection)
                execution = submit(ledger)
                until(partial(completed, execution))
            assert ("through a pooler" in caplog.text) is listen

    def test_behind_a_pooler_nothing_is_set_on_its_sessions(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are lent to others next: commands whose COMMIT would not be on the disk."""
        monkeypatch.setattr(attending, "is_direct", lambda _: False)
        monkeypatch.setattr(direct, "is_direct", lambda _: False)
        look = attending.Attendant._look
        seen: list[DictRow] = []

        def looked(self: attending.Attendant, connection: Connection[DictRow], **how: Any) -> float:
            names = "statement_timeout", "lock_timeout", "synchronous_commit"
            seen.extend(
                connection.execute(
                    "SELECT source FROM pg_settings WHERE name = ANY(%s)", [[*names]]
                )
            )
            return look(self, connection, **how)

        monkeypatch.setattr(attending.Attendant, "_look", looked)
        with a_ledger(database_url) as ledger, serving(ledger.service()):
            until(lambda: seen)
        assert "session" not in {row["source"] for row in seen}

    def test_a_server_that_only_reads_is_waited_out(
        self, database_url: str, connection: Connection[DictRow], caplog: pytest.LogCaptureFixture
    ) -> None:
        """As one is that another has taken the place of: sessions that are opened later lead to that one."""
        settings = {"poll_seconds": 0.3, "lease_seconds": 0.5, "pool_timeout_seconds": 5}
        default(connection, "default_transaction_read_only", "on")
        with (
            a_ledger(database_url, **settings) as ledger,
            caplog.at_level(logging.WARNING),
            serving(ledger.service()) as thread,
        ):
            with pytest.raises(StoreUnavailable, match="read-only"):
                submit(ledger)
            time.sleep(2)
            assert thread.is_alive()
            connection.execute("SET default_transaction_read_only = off")
            default(connection, "default_transaction_read_only", "off")
            execution = submit(ledger)
            until(partial(completed, execution))
        assert "failed" not in caplog.text

    def test_without_either_nothing_is_taken_up(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        """So it was the notification, or the poll, in the tests before."""
        settings = {"listen": False, "poll_seconds": LONG, "lease_seconds": LONG}
        with a_ledger(database_url, **settings) as ledger, serving(ledger.service()):
            until(lambda: idle(connection))
            time.sleep(0.3)
            execution = submit(ledger)
            time.sleep(1)
            assert execution.status == "requested"

    def test_a_unit_that_was_put_off_is_taken_up_when_it_comes_due(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        with a_ledger(database_url, poll_seconds=LONG, lease_seconds=LONG) as ledger:
            execution = submit(ledger)
            connection.execute(
                "UPDATE action_ledger.work_queue SET available_at = clock_timestamp() + interval '1.5 s'"
            )
            began = time.monotonic()
            with serving(ledger.service()):
                until(lambda: execution.status == "completed")
                assert time.monotonic() - began > 1.0

    def test_an_undo_wakes_it_too(self, database_url: str, connection: Connection[DictRow]) -> None:
        with a_ledger(database_url, poll_seconds=LONG, lease_seconds=LONG) as ledger:
            execution = ledger.on("places").all().update(note="x").by("user:1").run()
            with serving(ledger.service()):
                until(lambda: idle(connection))
                time.sleep(0.3)
                undo = execution.undo(by="user:1").submit()
                until(lambda: undo.status == "completed")

    def test_the_audit_is_current_soon(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        """Also of what another process did without the queue."""
        with (
            a_ledger(database_url, poll_seconds=LONG, lease_seconds=LONG) as ledger,
            a_ledger(database_url) as other,
            serving(ledger.service()),
        ):
            until(lambda: idle(connection))
            time.sleep(0.3)
            other.on("places").keys([1]).update(note="y").by("user:1").run()
            until(lambda: followed(connection))
            submit(other, "z", batch_size=10)
            until(lambda: idle(connection) and not open_units(connection))
            until(lambda: followed(connection))


def listeners(connection: Connection[DictRow]) -> list[DictRow]:
    return connection.execute(
        "SELECT query FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE 'LISTEN%'"
    ).fetchall()


@pytest.mark.slow
@pytest.mark.usefixtures("places")
def test_an_idle_worker_costs_next_to_nothing(
    server: TestServer, database_url: str, connection: Connection[DictRow]
) -> None:
    """With four threads and the settings that it has by itself: a look in five seconds, a heartbeat and a sweep in ten."""
    statement = f"ALTER DATABASE {connection.info.dbname} SET log_statement = 'all'"
    connection.execute(statement.encode())
    log = server.server.data / "server.log"
    with a_ledger(database_url) as ledger:
        submit(ledger).finish()
        with serving(ledger.service(Plan(name="idle", concurrency=4))):
            until(lambda: idle(connection) and followed(connection))
            time.sleep(2.5)
            before, cpu = len(log.read_bytes()), time.process_time()
            time.sleep(12)
            taken = time.process_time() - cpu
            sent = [line for line in log.read_bytes()[before:].splitlines() if b"LOG:  " in line]
        assert 2 <= len(sent) <= 20, sent
        assert taken < 0.25


@pytest.mark.usefixtures("places")
class TestQueues:
    def test_an_earlier_queue_goes_first_then_the_priority(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        for note, queue, priority in (("1", "later", 9), ("2", "sooner", 0), ("3", "sooner", 5)):
            command = ledger.on("places").all().update(note=note).by("a").queue(queue).command()
            ledger.handle(command.model_copy(update={"priority": priority}))
        submit(ledger, "4", queue="another")
        service = ledger.service(Plan(name="w", queues=("sooner", "later"), until_idle=True))
        assert service.run() is Ended.IDLE
        rows = connection.execute(
            "SELECT r.body #>> '{parameters,values,note}' AS note FROM action_ledger.stored_events e"
            " JOIN action_ledger.request_bodies r ON r.owner = e.originator_id"
            " WHERE topic = 'execution.completed' ORDER BY notification_id"
        ).fetchall()
        assert [row["note"] for row in rows] == ["3", "2", "1"]
        assert open_units(connection) == 1

    @pytest.mark.parametrize("queue", ["", "  ", "a\0b"], ids=["empty", "blank", "nul"])
    def test_a_name_that_no_queue_has_is_refused(self, ledger: Ledger, queue: str) -> None:
        with pytest.raises(InvalidValue, match="no name of a queue"):
            ledger.service(Plan(name="w", queues=("default", queue)))


@pytest.mark.usefixtures("places")
class TestFaults:
    def test_a_thread_that_fails_is_started_again(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execution = submit(ledger)
        whole, calls = loop.Worker.step, [0]

        def step(self: loop.Worker, job: Any = None) -> bool:
            calls[0] += 1
            if calls[0] <= 3:
                raise KeyError("a fault of the program")
            return whole(self, job)

        monkeypatch.setattr(loop.Worker, "step", step)
        ledger.work(lambda: execution.status == "completed")
        assert execution.status == "completed"

    @pytest.mark.parametrize("place", ["step", "catch_up", "attend"])
    def test_a_thread_that_goes_on_failing_ends_the_service(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        """No matter which: a process that is half dead would look alive."""

        def fault(*_: object, **__: object) -> None:
            raise KeyError("a fault of the program")

        homes: dict[str, Any] = {
            "step": loop.Worker,
            "catch_up": type(ledger.projections),
            "attend": attending.Attendant,
        }
        monkeypatch.setattr(homes[place], place, fault)
        with pytest.raises(WorkerFailed, match="a fault of the program"):
            ledger.service().run()

    def test_who_leaves_when_idle_does_not_wait_for_ever_for_a_store(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with a_ledger(database_url, pool_timeout_seconds=0.5) as ledger:

            def away() -> None:
                raise StoreUnavailable(reason="it is away")

            monkeypatch.setattr(ledger._database, "connect", away)
            with pytest.raises(StoreUnavailable, match="it is away"):
                ledger.service(Plan(name="w", until_idle=True)).run()


@pytest.mark.usefixtures("places")
def test_threads_of_one_service_keep_the_books(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    executions = [
        ledger.on("places")
        .all()
        .update(score=col("score") + 1)
        .by("user:1")
        .batch_size(7)
        .on_locked("wait")
        .submit()
        for _ in range(4)
    ]
    service = ledger.service(Plan(name="w", concurrency=4, until_idle=True))
    assert service.run() is Ended.IDLE
    assert {execution.status for execution in executions} == {"completed"}
    row = connection.execute("SELECT sum(score - id) AS added FROM places").fetchone()
    assert row == {"added": 400}
    check_invariants(connection, ledger=ledger, tables=["places"])
