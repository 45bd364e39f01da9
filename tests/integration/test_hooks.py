"""Hooks: told of progress, completion and failure, after the commit, at least once, and not held up by each other."""

import asyncio
import threading
from collections.abc import Generator

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import Notice
from action_ledger.domain.errors import InvalidHook, InvalidParameters
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.workers import hook_caller
from tests.chains import RECORDS, add_one, break_third, make_tables, three
from tests.command_line import CommandLine
from tests.invariants import check_invariants


class Told(list[Notice]):
    """A hook that keeps what it was given, and fails for as long as ``failing`` says."""

    failing = 0
    fault: BaseException = OSError("the service is away")

    def __call__(self, notice: Notice) -> None:
        self.append(notice)
        if self.failing:
            self.failing -= 1
            raise self.fault


class Mute(Exception):  # noqa: N818 - it cannot say what it is
    """A fault that cannot be told."""

    def __str__(self) -> str:
        raise ValueError("nothing to say")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def ledger(database_url: str, connection: Connection[DictRow], told: Told) -> Generator[Ledger]:
    make_tables(connection)
    settings = Settings.model_validate({"hook_tries": 3})
    with open_ledger(database_url, settings=settings, hooks={"told": told}) as opened:
        yield opened


def named(ledger: Ledger, table: str = "first", hook: str = "told") -> Request:
    return add_one(ledger, table).by("user:1").notify(complete=hook, failure=hook)


def due_now(connection: Connection[DictRow]) -> None:
    connection.execute("UPDATE action_ledger.hook_deliveries SET available_at = '-infinity'")


class TestPredecessorCallbacks:
    def test_completion(self, ledger: Ledger, told: Told) -> None:
        execution = named(ledger).run()
        assert len(told) == 1
        notice = told[0]
        assert (notice.event, notice.kind, notice.status) == ("complete", "execution", "completed")
        assert notice.execution_id == notice.job_id == execution.id
        assert (notice.total, notice.tally.applied, notice.attempt) == (RECORDS, RECORDS, 1)
        assert notice.actor == "user:1"
        ledger.hooks.deliver()
        assert len(told) == 1

    def test_failure(self, ledger: Ledger, told: Told, connection: Connection[DictRow]) -> None:
        break_third(connection)
        named(ledger, "third").on_failure("stop").run()
        execution = named(ledger).submit()
        execution.cancel(by="user:2")
        ledger.hooks.deliver()
        assert [(n.event, n.status, n.error) for n in told] == [
            ("failure", "failed", "too_many_failures"),
            ("failure", "cancelled", None),
        ]

    def test_progress_is_told_as_it_is_and_not_more_often_than_makes_sense(
        self, ledger: Ledger, told: Told, connection: Connection[DictRow]
    ) -> None:
        execution = add_one(ledger, "first").by("user:1").notify(progress="told").submit()
        worker = ledger.worker()
        worker.step(execution.id)
        worker.step(execution.id)
        ledger.hooks.deliver()
        worker.step(execution.id)
        ledger.hooks.deliver()  # too soon after the first
        worker.step(execution.id)
        assert [notice.tally.applied for notice in told] == [10]
        due_now(connection)
        ledger.hooks.deliver()
        assert [notice.tally.applied for notice in told] == [10, RECORDS]
        assert len({notice.delivery_id for notice in told}) == 2

    def test_undo_and_chain(
        self, ledger: Ledger, told: Told, connection: Connection[DictRow]
    ) -> None:
        execution = add_one(ledger, "second").by("user:1").run()
        undo = execution.undo(by="user:2").notify(complete="told").run()
        ledger.hooks.deliver()
        break_third(connection)
        chain = three(ledger).notify(progress="told", failure="told").run()
        assert [(n.kind, n.job_id, n.status) for n in told if n.event != "progress"] == [
            ("undo", undo.id, "completed"),
            ("chain", chain.id, "compensated"),
        ]
        assert told[0].execution_id == execution.id
        assert told[-1].tally.applied == 2 * RECORDS

    def test_fault_14_callbacks_are_kept_with_the_execution(
        self, ledger: Ledger, told: Told, database_url: str
    ) -> None:
        """The process that asked has gone; another one calls."""
        named(ledger).submit()
        with open_ledger(database_url) as other:
            other.worker().step()
            while other.worker().step():
                pass
            assert other.hooks.deliver() == 0
            waiting = other.hooks.deliveries()
            assert [(one.hook, one.known, one.attempts) for one in waiting] == [("told", False, 0)]
        assert ledger.hooks.deliver() == 1
        assert [notice.status for notice in told] == ["completed"]


class TestFailing:
    def test_is_called_again_with_the_same_delivery(
        self, ledger: Ledger, told: Told, connection: Connection[DictRow]
    ) -> None:
        told.failing = 1
        named(ledger).run()
        ledger.hooks.deliver()  # too soon
        assert len(told) == 1
        due_now(connection)
        ledger.hooks.deliver()
        assert [notice.attempt for notice in told] == [1, 2]
        assert len({notice.delivery_id for notice in told}) == 1
        assert ledger.hooks.deliveries() == []

    def test_always_is_set_aside_and_holds_nothing_back(
        self, ledger: Ledger, told: Told, connection: Connection[DictRow]
    ) -> None:
        others = Told()
        ledger.hooks.register("others", others)
        told.failing = 100
        for hook in ("told", "others", "told", "others"):
            named(ledger, hook=hook).run()
        assert len(others) == 2
        for _ in range(5):
            due_now(connection)
            ledger.hooks.deliver()
        assert len(told) == 6  # three times each
        parked = ledger.hooks.deliveries(failed=True)
        assert [one.attempts for one in parked] == [3, 3]
        assert all(one.parked_at for one in parked)
        assert parked[0].last_error == "OSError: the service is away"
        told.failing = 0
        assert ledger.hooks.retry("others") == 0
        assert ledger.hooks.retry("told") == 2
        assert ledger.hooks.deliver() == 2
        assert ledger.hooks.deliveries() == []

    @pytest.mark.parametrize("fault", [SystemExit(3), OSError("\ud800"), Mute()])
    def test_whatever_it_raises_is_its_own(
        self, ledger: Ledger, told: Told, monkeypatch: pytest.MonkeyPatch, fault: BaseException
    ) -> None:
        # The log would have it, and pytest's workers cannot send a lone surrogate to each other.
        monkeypatch.setattr(hook_caller.log, "disabled", True)
        monkeypatch.setattr(told, "fault", fault)
        told.failing = 1
        named(ledger).run()
        (delivery,) = ledger.hooks.deliveries()
        assert str(delivery.last_error).startswith(type(fault).__name__)

    def test_one_that_ends_every_process_is_set_aside_too(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        class Killed(BaseException):
            pass

        def kill(_: Notice) -> None:
            raise Killed

        ledger.hooks.register("kill", kill)
        named(ledger, hook="kill").submit().finish()
        for _ in range(3):
            with pytest.raises(Killed):
                ledger.hooks.deliver()
            due_now(connection)
        assert ledger.hooks.deliver() == 0
        assert ledger.hooks.deliveries()[0].parked_at

    def test_one_that_hangs_can_be_seen(
        self, database_url: str, connection: Connection[DictRow]
    ) -> None:
        """At its first try and, after one that failed, at its second."""
        called, go_on = threading.Event(), threading.Event()

        def hang(_: Notice) -> None:
            called.set()
            go_on.wait(60)
            raise OSError("cut off")

        make_tables(connection)
        line = CommandLine(database_url)
        with open_ledger(database_url, hooks={"hang": hang}) as ledger:
            named(ledger, hook="hang").submit().finish()
            for tried in ("tried 1 time", "tried 2 times"):
                thread = threading.Thread(target=ledger.hooks.deliver)
                thread.start()
                assert called.wait(60)
                (delivery,) = ledger.hooks.deliveries()
                assert delivery.last_error is None
                assert f"{tried}: no answer yet" in line("hooks", "list").out
                go_on.set()
                thread.join(60)
                assert f"{tried}: OSError: cut off" in line("hooks", "list").out
                called.clear()
                go_on.clear()
                due_now(connection)


class TestFaces:
    def test_decorated_and_async(self, ledger: Ledger) -> None:
        heard: list[Notice] = []

        @ledger.hook("later")
        async def later(notice: Notice) -> None:
            await asyncio.sleep(0)
            heard.append(notice)

        named(ledger, hook="later").run()
        assert len(heard) == 1

    @pytest.mark.parametrize("name", ["told", "", "a b", "1"])
    def test_what_is_no_hook(self, ledger: Ledger, name: str) -> None:
        with pytest.raises(InvalidHook):
            ledger.hooks.register(name, print)
        with pytest.raises(InvalidHook):
            ledger.hooks.register("new", "print")  # type: ignore[type-var]

    def test_what_is_no_name(self, ledger: Ledger) -> None:
        with pytest.raises(InvalidParameters):
            named(ledger, hook="a b").submit()


def test_a_rebuild_tells_nothing_twice(
    ledger: Ledger, told: Told, connection: Connection[DictRow]
) -> None:
    named(ledger).run()
    named(ledger).run()
    told.failing = 1
    named(ledger).run()
    connection.execute(
        "DELETE FROM action_ledger.hook_deliveries WHERE position IS NULL"
    )  # as if they were lost
    named(ledger).submit()  # the follower is behind
    ledger.projections.rebuild(["hook_deliveries"])
    while ledger.worker().step():
        pass
    due_now(connection)
    ledger.hooks.deliver()
    assert [notice.attempt for notice in told] == [1, 1, 1, 2, 1]
    assert len({notice.delivery_id for notice in told}) == 4
    check_invariants(connection, ledger=ledger)
