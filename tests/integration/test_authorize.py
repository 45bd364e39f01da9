"""The host's own rules: asked at the request, before each batch and at an undo; anything but a True is a no.

The predecessor's policies, default gate and custom authorization per action; and a right that is revoked in mid-run.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.actor import Actor
from action_ledger.domain.columns import col
from action_ledger.domain.commands import Command, RequestExecution
from action_ledger.domain.errors import NotAuthorized
from action_ledger.domain.policy import Authorize, Phase
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.builder import Request
from tests.crash.harness import topics
from tests.integration.test_once import total
from tests.invariants import check_invariants
from tests.schedules import hours_ago, overdue

pytestmark = pytest.mark.fault(18)


class Asked:
    """A hook that remembers what it was asked, and says no from the n-th question of a phase on."""

    def __init__(self, **until: int) -> None:
        self.phases: list[Phase] = []
        self.commands: list[Command] = []
        self._until = until

    def __call__(self, actor: Actor, command: Command, phase: Phase) -> bool:
        assert actor == command.actor
        self.phases.append(phase)
        self.commands.append(command)
        return self.phases.count(phase) <= self._until.get(phase, 1_000)


@contextmanager
def ruled(url: str, authorize: Authorize) -> Generator[Ledger]:
    settings = Settings.model_validate({"pool_max_size": 12})
    with open_ledger(url, settings=settings, authorize=authorize) as ledger:
        yield ledger


def add_one(ledger: Ledger) -> Request:
    request = ledger.on("places").all().update(score=col("score") + 1)
    return request.by("user:42", reason="TICKET-1").batch_size(20)


def test_it_is_asked_at_the_request_before_each_batch_and_at_an_undo(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    with ruled(database_url, asked := Asked()) as ledger:
        execution = add_one(ledger).run()
        assert asked.phases == [Phase.REQUEST, *[Phase.BATCH] * 5]
        first, later = asked.commands[0], asked.commands[3]
        assert isinstance(first, RequestExecution)
        # Before a batch the host sees what it saw at first.
        assert later.model_copy(update={"correlation_id": None}) == first
        asked.phases.clear()
        execution.undo(by="user:7").run()
        assert asked.phases == [Phase.UNDO], "an undo is not left half-way"
        submitted = add_one(ledger).submit()
        submitted.pause(by="user:42")
        assert asked.phases == [Phase.UNDO, Phase.REQUEST, Phase.STEER]
        assert total(connection) == 0


@pytest.mark.parametrize("answer", [False, None, 1, "yes", ZeroDivisionError, SystemExit])
def test_anything_but_true_is_a_no(
    database_url: str, connection: Connection[DictRow], places: str, answer: Any
) -> None:
    assert places

    def authorize(*_: object) -> Any:
        if isinstance(answer, type):
            raise answer
        return answer

    with open_ledger(database_url) as free:
        done = add_one(free).run()
    with ruled(database_url, authorize) as ledger:
        handle = ledger.execution(done.id)
        ways: list[Callable[[], object]] = [
            add_one(ledger).run,
            add_one(ledger).submit,
            handle.undo(by="user:42").run,
            lambda: handle.pause(by="user:42"),
            lambda: add_one(ledger).schedule(cron="0 3 * * *", timezone="UTC"),
        ]
        before = topics(connection)
        for way in ways:
            with pytest.raises(NotAuthorized) as refused:
                way()
            assert refused.value.actor == "user:42"
        assert topics(connection) == {**before, "command.rejected": len(ways)}
        assert total(connection) == 100
        # Who was refused, and what, is in the audit.
        rejected = [e for e in ledger.audit(actor="user:42") if e.topic == "command.rejected"]
        assert [entry.details["command"] for entry in rejected] == [
            "request_execution", "request_execution", "request_undo", "pause_execution", "create_schedule",
        ]  # fmt: skip
        assert {entry.details["error"] for entry in rejected} == {"not_authorized"}
        assert {e.execution_id for e in rejected[2:4]} == {done.id}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_a_gate_of_single_actions(database_url: str, places: str) -> None:
    assert places

    def gate(actor: Actor, command: Command, _: Phase) -> bool:
        return not isinstance(command, RequestExecution) or (
            command.action != "delete" or actor.subject == "admin:1"
        )

    with ruled(database_url, gate) as ledger:
        delete = ledger.on("places").keys([1]).delete()
        with pytest.raises(NotAuthorized, match="delete of places"):
            delete.by("user:42").run()
        assert delete.by("admin:1").run().status == "completed"
        assert add_one(ledger).run().status == "completed"


@pytest.mark.parametrize("streaming", [False, True])
def test_revoked_in_mid_run(
    database_url: str, connection: Connection[DictRow], places: str, *, streaming: bool
) -> None:
    """What is done stays, nothing more is done, the rest is pending and not failed; and it can be undone."""
    assert places
    allowed = 4 if streaming else 2  # planning asks too, where a worker does it
    with ruled(database_url, Asked(batch=allowed)) as ledger:
        request = add_one(ledger)
        execution = (request.streaming() if streaming else request).run()
        assert (execution.status, execution.error) == ("failed", "not_authorized")
        counts = execution.progress()
        assert (counts.applied, counts.failed, counts.pending) == (40, 0, counts.total - 40)
        assert total(connection) == 40
        assert ledger.audit(execution_id=execution.id)[-1].actor == "user:42"
        check_invariants(connection, ledger=ledger, tables=["places"])
        execution.undo(by="user:7").run()
        assert total(connection) == 0


def test_revoked_with_the_policy_to_roll_back(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    with ruled(database_url, Asked(batch=2, undo=0)) as ledger:
        execution = add_one(ledger).on_failure("rollback").run()
        assert (execution.status, total(connection)) == ("rolled_back", 0)
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_revoked_while_several_workers_are_at_it(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    with ruled(database_url, Asked(batch=20)) as ledger:
        execution = add_one(ledger).batch_size(1).run(workers=4)
        assert (execution.status, execution.error) == ("failed", "not_authorized")
        assert total(connection) == execution.progress().applied <= 20
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_it_is_asked_while_nothing_is_held(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    """The host's function may take as long as it likes: no lock and no transaction of the ledger's waits for it."""
    assert places
    seen: list[int] = []

    def authorize(*_: object) -> bool:
        row = connection.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'action-ledger' AND state LIKE 'idle in transaction%'"
        ).fetchone()
        seen.append(row["n"] if row else -1)
        return True

    with ruled(database_url, authorize) as ledger:
        add_one(ledger).run().undo(by="user:7").run()
    assert seen == [0] * 7


def test_what_a_host_sent_is_asked_about_when_it_is_sent_and_when_it_is_taken_in(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    with (
        ruled(database_url, Asked(request=1)) as ledger,
        psycopg.connect(database_url) as host,
        ruled(database_url, Asked(request=0)) as worker,
    ):
        execution = add_one(ledger.within(host)).submit()
        with pytest.raises(NotAuthorized):
            add_one(ledger.within(host)).submit()
        host.commit()
        assert worker.inbox.take_in() == 1
        assert (execution.status, execution.error) == ("rejected", "not_authorized")
        assert topics(connection) == {"command.rejected": 2}


def test_each_run_of_a_schedule_is_asked_about(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    with ruled(database_url, Asked(request=2)) as ledger:
        schedule = add_one(ledger).schedule(cron="0 * * * *", timezone="UTC")
        scheduler = ledger.scheduler()
        for _ in range(2):
            overdue(ledger, schedule.id, hours_ago(ledger, 1))
            assert scheduler.step()
        assert topics(connection)["schedule.fired"] == 1
        (failed,) = [e for e in ledger.audit() if e.topic == "schedule.failed_to_fire"]
        assert failed.details["error"] == "not_authorized"


def test_a_service_asks_too(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    with open_ledger(database_url) as free:
        execution = add_one(free).submit()
    with ruled(database_url, Asked(batch=3)) as ledger:
        stopped = threading.Event()
        thread = threading.Thread(target=lambda: ledger.work(stopped.is_set))
        thread.start()
        execution = ledger.execution(execution.id)
        execution.wait(timeout=30)
        stopped.set()
        thread.join()
        assert (execution.status, total(connection)) == ("failed", 40)
