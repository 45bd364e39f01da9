"""Commands and handles: JSON in and out, taken in once, waited for, watched, and shared between threads."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import TypeAdapter, ValidationError

from action_ledger.domain import AnyCommand, RequestExecution, RequestUndo, col
from action_ledger.domain.errors import (
    ActionLedgerError,
    CommandReused,
    CommandTimedOut,
    ExecutionNotFound,
    UnknownTable,
)
from action_ledger.ops import ExecutionHandle, Ledger
from tests.dump import assert_at_rest, dump_ledger
from tests.integration.conftest import PLACES

ANY: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)


class TestCommands:
    def test_a_command_survives_json_and_is_taken_in_once(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        command = (
            ledger.on(places)
            .where((col("country") == "FR") & ~col("note").is_not_null() | col("score").in_([1, 2]))
            .update(note='a "quoted" %s {} \\ note', score=(col("score") + 1) * 2)
            .by("user:1", reason="because")
            .command()
        )
        again = RequestExecution.model_validate_json(command.model_dump_json())
        assert again == command
        assert ANY.validate_json(command.model_dump_json()) == command
        first = ledger.handle(command, now=True)
        before = dump_ledger(connection)
        assert ledger.handle(again, now=True) == first == command.command_id
        assert ledger.handle(again) == first
        assert dump_ledger(connection) == before
        execution = ledger.execution(first)
        assert execution.status == "completed"
        assert execution.progress().applied == PLACES // 2 + 1
        assert ledger.execution(str(first)).id == first

    def test_an_undo_survives_json_and_is_taken_in_once(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = ledger.on(places).keys([1, 2, 3]).delete(hard=True).by("a").run()
        command = execution.undo(by="b", reason="oops").keys([1, 2]).on_conflict("force").command()
        again = RequestUndo.model_validate_json(command.model_dump_json())
        assert again == command == ANY.validate_json(command.model_dump_json())
        assert ledger.handle(command) == ledger.handle(again) == command.command_id
        (undo,) = execution.undos()
        undo.finish()
        before = dump_ledger(connection)
        assert ledger.handle(again) == undo.id
        assert dump_ledger(connection) == before
        assert undo.progress().applied == 2

    def test_another_command_under_the_same_id_is_refused(
        self, ledger: Ledger, places: str
    ) -> None:
        command = ledger.on(places).keys([1]).update(note="x").by("a").command()
        ledger.handle(command, now=True)
        with pytest.raises(CommandReused):
            ledger.handle(command.model_copy(update={"parameters": {"values": {"note": "y"}}}))

    @pytest.mark.parametrize(
        "options", [{"context": {"app.tenant": "1"}}, {"colour": "red"}], ids=str
    )
    def test_a_command_knows_no_option_that_does_nothing(
        self, ledger: Ledger, places: str, options: dict[str, object]
    ) -> None:
        command = ledger.on(places).keys([1]).update(note="x").by("a").command()
        with pytest.raises(ValidationError):
            RequestExecution.model_validate(command.model_dump() | options)

    def test_the_same_command_from_many_threads_is_one_execution(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        command = ledger.on(places).all().update(score=col("score") + 1).by("a").command()
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(ledger.handle, command, now=True) for _ in range(8)]
            ids = {each.result() for each in sent}
        assert ids == {command.command_id}
        assert len(ledger.executions()) == 1
        row = connection.execute("SELECT sum(score - id) AS added FROM places").fetchone()
        assert row == {"added": PLACES}


class TestHandles:
    def test_wait_gives_up_and_says_so(self, ledger: Ledger, places: str) -> None:
        execution = ledger.on(places).all().update(note="x").by("a").submit()
        started = time.monotonic()
        with pytest.raises(CommandTimedOut) as caught:
            execution.wait(timeout=0.2)
        assert 0.2 <= time.monotonic() - started < 2
        assert caught.value.seconds == 0.2
        assert str(execution.id) in str(caught.value)
        with pytest.raises(CommandTimedOut):
            execution.wait(timeout=0)

    def test_wait_ends_when_somebody_else_has_done_it(self, ledger: Ledger, places: str) -> None:
        execution = ledger.on(places).all().update(note="x").by("a").batch_size(20).submit()
        worker = threading.Thread(target=ledger.worker().finish, args=[execution.id])
        worker.start()
        execution.wait(timeout=20)
        worker.join()
        assert execution.status == "completed"
        execution.wait(timeout=0)

    def test_wait_async_leaves_the_loop_free(self, ledger: Ledger, places: str) -> None:
        execution = ledger.on(places).all().update(note="x").by("a").submit()
        ticks = 0

        async def main() -> None:
            nonlocal ticks
            with pytest.raises(CommandTimedOut):
                await execution.wait_async(timeout=0.2)
            waiting = asyncio.create_task(execution.wait_async(timeout=20))
            work = asyncio.create_task(asyncio.to_thread(execution.finish))
            while not waiting.done():
                ticks += 1
                await asyncio.sleep(0.005)
            await asyncio.gather(waiting, work)

        asyncio.run(main())
        assert ticks > 0
        assert execution.status == "completed"

    def test_submit_leaves_the_work_to_a_worker(self, ledger: Ledger, places: str) -> None:
        execution = ledger.on(places).all().update(note="x").by("a").batch_size(50).submit()
        assert execution.status == "requested"
        assert not execution.progress().total_final
        assert execution.progress().percent == 0, "nobody knows yet how much there is"
        stop = threading.Event()
        worker = threading.Thread(target=ledger.work, args=[stop.is_set])
        worker.start()
        execution.wait(timeout=20)
        while ledger.projections.status()[-1].lag:
            time.sleep(0.02)
        stop.set()
        worker.join()
        assert execution.progress().applied == PLACES

    def test_watch_is_told_after_each_batch(self, ledger: Ledger, places: str) -> None:
        seen: list[int] = []
        asked = ledger.on(places).all().update(note="x").by("a").batch_size(30)

        def watch(execution: ExecutionHandle) -> None:
            seen.append(execution.progress().applied)

        execution = asked.run(watch=watch)
        assert seen == [30, 60, 90, 100]
        undone: list[str] = []
        execution.undo(by="a").run(watch=lambda undo: undone.append(undo.status))
        assert undone == ["running"] * 3 + ["completed"]

    def test_an_exception_in_watch_reaches_the_caller_and_loses_nothing(
        self, ledger: Ledger, places: str
    ) -> None:
        def watch(_: ExecutionHandle) -> None:
            raise RuntimeError("no more")

        with pytest.raises(RuntimeError, match="no more"):
            ledger.on(places).all().update(note="x").by("a").batch_size(30).run(
                watch=watch, workers=2
            )
        (view,) = ledger.executions()
        ledger.execution(view.id).finish()
        assert ledger.execution(view.id).progress().applied == PLACES

    def test_several_workers_do_each_batch_once(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        asked = ledger.on(places).all().update(score=col("score") + 1).by("a").batch_size(3)
        for each in (asked, asked.streaming()):
            execution = each.run(workers=3)
            assert (execution.status, execution.progress().applied) == ("completed", PLACES)
            undo = execution.undo(by="a").run(workers=3)
            assert (undo.status, undo.progress().applied) == ("completed", PLACES)
        row = connection.execute("SELECT count(*) AS n FROM places WHERE score = id").fetchone()
        assert row == {"n": PLACES}

    def test_handles_of_nothing(self, ledger: Ledger) -> None:
        for unknown in (uuid4(), str(uuid4()), "no id at all", ""):
            with pytest.raises(ExecutionNotFound):
                _ = ledger.execution(unknown).status
            with pytest.raises(ExecutionNotFound):
                ledger.execution(unknown).undo(by="a").run()
            with pytest.raises(ExecutionNotFound):
                ledger.execution(unknown).wait(timeout=1)
        assert list(ledger.execution(uuid4()).failures()) == []

    def test_a_listing_may_be_left_half_read(self, ledger: Ledger, places: str) -> None:
        execution = ledger.on(places).all().update(note="x").by("a").batch_size(2).run()
        changes = execution.changes()
        first = next(changes)
        assert first["key"] == ("1",)
        assert (first["before"], first["after"]) == ({"note": None}, {"note": "x"})
        later = ledger.on(places).keys([1]).update(note="y").by("a").run()
        assert ledger.execution(later.id).status == "completed"
        assert len(ledger.history(places, 1)) == 2
        for change in changes:
            assert execution.status == "completed", change
        half = execution.changes()
        next(half)
        del half
        assert_at_rest(ledger)


def test_one_ledger_serves_many_threads(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    """Eight threads, each with one-record commands on records that the others change too."""
    rounds, threads = 12, 8

    def work(number: int) -> list[str]:
        return [
            ledger.on(places)
            .keys([(number + n) % 10 + 1])
            .update(score=col("score") + 1)
            .by(f"thread:{number}")
            .run()
            .status
            for n in range(rounds)
        ]

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(work, range(threads)))
    assert results == [["completed"] * rounds] * threads
    row = connection.execute("SELECT sum(score - id) AS added FROM places").fetchone()
    assert row == {"added": rounds * threads}
    assert len(ledger.executions(limit=1000)) == rounds * threads
    assert all(each.equal for each in ledger.projections.verify())


def test_listing_asks_for_what_there_can_be(ledger: Ledger, places: str) -> None:
    done = ledger.on(places).keys([1]).update(note="x").by("a").run()
    ledger.on(places).keys([1]).update(note="x").by("b").submit()
    assert [each.id for each in ledger.executions(status="completed")] == [done.id]
    assert [each.actor for each in ledger.executions()] == ["b", "a"]
    assert [each.actor for each in ledger.executions(limit=1)] == ["b"]
    assert len(ledger.executions(table=places)) == 2
    assert len(ledger.executions(table="places")) == 2
    with pytest.raises(UnknownTable):
        ledger.executions(table="public.other")
    with pytest.raises(ActionLedgerError):
        ledger.executions(limit=-1)
    with pytest.raises(ActionLedgerError):
        ledger.executions(status="compelted")
    with pytest.raises(ActionLedgerError):
        ledger.audit(limit=-1)
    with pytest.raises(ExecutionNotFound):
        ledger.audit(execution_id="no id")
