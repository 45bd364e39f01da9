"""Many who undo the same at once: one compensation, and a typed refusal for each of the others."""

import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import IO

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain.errors import AlreadyUndone, Refused, UndoExpired, UndoInProgress
from action_ledger.ops import Ledger
from action_ledger.ops.handles import UndoHandle, UndoRequest
from action_ledger.workers.steps import strike
from tests.exact import dump, run
from tests.faults import injected
from tests.invariants import check_invariants

TABLE = sql.Identifier("public", "items")
NAME = "public.items"
THREADS = 8

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def items(connection: Connection[DictRow]) -> Connection[DictRow]:
    run(
        connection,
        "CREATE TABLE items (id int PRIMARY KEY, n int)",
        "INSERT INTO items SELECT i, 0 FROM generate_series(1, 40) i",
    )
    return connection


@pytest.mark.fault(19)
@pytest.mark.parametrize("hard", ["update", "delete"])
def test_undone_once(ledger: Ledger, items: Connection[DictRow], hard: str) -> None:
    target = ledger.on(NAME).all()
    before = dump(items, TABLE)
    request = target.delete(hard=True) if hard == "delete" else target.update(n=1)
    execution = request.by("tester").batch_size(10).run()
    ready = Barrier(THREADS)

    def undo(n: int) -> UndoHandle | Refused:
        ready.wait()
        try:
            return execution.undo(by=f"tester {n}").run()
        except Refused as refusal:
            return refusal

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(undo, range(THREADS)))
    kinds = Counter(type(result) for result in results)
    assert kinds[UndoHandle] == 1
    assert set(kinds) <= {UndoHandle, UndoInProgress, AlreadyUndone}
    assert dump(items, TABLE) == before
    assert len(execution.undos()) == 1
    check_invariants(items, ledger=ledger, tables=[NAME])


@pytest.mark.fault(19)
def test_by_parts_at_once(ledger: Ledger, items: Connection[DictRow]) -> None:
    """Undos of different batches do not hinder each other."""
    before = dump(items, TABLE)
    execution = ledger.on(NAME).all().update(n=1).by("tester").batch_size(5).run()
    ready = Barrier(THREADS)

    def undo(n: int) -> UndoHandle:
        ready.wait()
        return execution.undo(by="tester").batches([n + 1]).run()

    with ThreadPoolExecutor(THREADS) as pool:
        undos = list(pool.map(undo, range(THREADS)))
    assert [one.progress().applied for one in undos] == [5] * THREADS
    assert dump(items, TABLE) == before
    check_invariants(items, ledger=ledger, tables=[NAME])


@pytest.mark.fault(19)
def test_by_columns_at_once(ledger: Ledger, items: Connection[DictRow]) -> None:
    """Each column is asked for by two: it is taken back once, whoever comes in between."""
    run(items, "ALTER TABLE items ADD a int, ADD b int, ADD c int")
    before = dump(items, TABLE)
    execution = ledger.on(NAME).all().update(n=1, a=1, b=1, c=1).by("tester").batch_size(10).run()
    ready = Barrier(THREADS)

    def undo(n: int) -> int:
        ready.wait()
        while True:
            try:
                return execution.undo(by="tester").columns("nabc"[n % 4]).run().progress().applied
            except UndoInProgress:
                time.sleep(0.01)
            except AlreadyUndone:
                return 0

    with ThreadPoolExecutor(THREADS) as pool:
        assert sorted(pool.map(undo, range(THREADS))) == [0] * 4 + [40] * 4
    assert dump(items, TABLE) == before
    check_invariants(items, ledger=ledger, tables=[NAME])


@pytest.mark.fault(19)
def test_while_another_is_at_work(ledger: Ledger, items: Connection[DictRow]) -> None:
    execution = ledger.on(NAME).all().update(n=1).by("tester").batch_size(10).run()
    first = execution.undo(by="tester").submit()
    requests: list[UndoRequest] = [
        execution.undo(by="tester"),
        execution.undo(by="tester").keys([1]),
        execution.undo(by="tester").on_conflict("force").batches([1, 2]),
    ]
    requests.append(first.redo(by="tester"))  # also of the batches that it has done
    seen: list[str] = []

    def try_again(step: str) -> None:
        seen.append(step)
        for request in requests:
            with pytest.raises(UndoInProgress):
                request.submit()
        with pytest.raises((UndoInProgress, AlreadyUndone)):
            execution.undo(by="tester").batches(
                [4]
            ).submit()  # the newest, which is the first to be done

    token = strike.set(lambda step: try_again(step) if step.endswith("claimed") else None)
    try:
        first.finish()
    finally:
        strike.reset(token)
    assert len(seen) == 4
    assert first.progress().applied == 40
    # The redo of an undo that another redo is at work on.
    redo = first.redo(by="tester").submit()
    with pytest.raises(UndoInProgress):
        first.redo(by="tester").submit()
    with pytest.raises(AlreadyUndone):  # until the redo has done something
        execution.undo(by="tester").submit()
    redo.finish()
    assert redo.progress().applied == 40
    check_invariants(items, ledger=ledger, tables=[NAME])


PROGRAM = """
import sys
from action_ledger.domain.errors import Refused
from action_ledger.ops import open_ledger

with open_ledger(sys.argv[1]) as ledger:
    execution = ledger.execution(sys.argv[2])
    print("ready", flush=True)
    for line in sys.stdin:
        asked = execution.undos()[0].redo if line == "redo\\n" else execution.undo
        try:
            undo = asked(by=f"process {sys.argv[3]}").run()
            print("done", undo.progress().applied, flush=True)
        except Refused as refusal:
            print(refusal.code, flush=True)
"""


@pytest.mark.slow
@pytest.mark.fault(19)
def test_by_processes(ledger: Ledger, items: Connection[DictRow], database_url: str) -> None:
    """One compensation, then one redo of it, then one undo again, whoever asks and however many do."""
    before = dump(items, TABLE)
    execution = ledger.on(NAME).all().update(n=1).by("tester").batch_size(10).run()
    after = dump(items, TABLE)
    command = [sys.executable, "-c", PROGRAM, database_url, str(execution.id)]
    with ExitStack() as stack:
        processes: list[tuple[IO[str], IO[str]]] = []
        for n in range(THREADS):
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            assert process.stdin is not None
            assert process.stdout is not None
            processes.append((process.stdin, process.stdout))
        assert [said.readline() for _, said in processes] == ["ready\n"] * THREADS
        for rounds, (what, expected) in enumerate(
            (("undo", before), ("redo", after), ("undo", before)), start=1
        ):
            for asked, _ in processes:
                asked.write(f"{what}\n")
                asked.flush()
            told = Counter(said.readline().strip() for _, said in processes)
            assert told["done 40"] == 1, told
            assert set(told) <= {"done 40", "undo_in_progress", "already_undone"}, told
            assert len(execution.undos()) == rounds
            assert dump(items, TABLE) == expected
            injected(19, THREADS)
    check_invariants(items, ledger=ledger, tables=[NAME])


@pytest.mark.fault(19)
def test_redone_once(ledger: Ledger, items: Connection[DictRow]) -> None:
    """Eight threads take an undo back while eight more ask for the undo again: each state is reached by one."""
    execution = ledger.on(NAME).all().update(n=1).by("tester").batch_size(10).run()
    first = execution.undo(by="tester").run()
    after = first.progress()
    assert after.applied == 40
    ready = Barrier(2 * THREADS)

    def ask(n: int) -> str:
        request = first.redo(by=f"tester {n}") if n % 2 else execution.undo(by=f"tester {n}")
        ready.wait()
        try:
            return f"{'redo' if n % 2 else 'undo'} {request.run().progress().applied}"
        except Refused as refusal:
            return refusal.code

    with ThreadPoolExecutor(2 * THREADS) as pool:
        told = Counter(pool.map(ask, range(2 * THREADS)))
    assert told["redo 40"] == 1, told
    assert told["undo 40"] <= 1, told
    assert set(told) <= {"redo 40", "undo 40", "undo_in_progress", "already_undone"}, told
    expected = 0 if told["undo 40"] else 1
    rows = items.execute("SELECT DISTINCT n FROM items").fetchall()
    assert rows == [{"n": expected}]
    injected(19, 2 * THREADS)
    check_invariants(items, ledger=ledger, tables=[NAME])


@pytest.mark.fault(19)
def test_expired_while_many_ask(ledger: Ledger, items: Connection[DictRow]) -> None:
    """The window ends by the database's clock: what is taken in before goes on, what comes later is refused."""
    execution = ledger.on(NAME).all().update(n=1).by("tester").undoable(days=1 / 86_400).run()
    before = dump(items, TABLE)
    items.execute("SELECT pg_sleep(1)")
    ready = Barrier(THREADS)

    def undo(n: int) -> str:
        ready.wait()
        with pytest.raises(UndoExpired) as caught:
            execution.undo(by=f"tester {n}").run()
        return caught.value.code

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(undo, range(THREADS))) == {"undo_expired"}
    assert dump(items, TABLE) == before
    assert execution.undos() == []
    late = ledger.on(NAME).all().update(n=2).by("tester").undoable(days=2 / 86_400).run()
    begun = late.undo(by="tester").submit()
    items.execute("SELECT pg_sleep(2)")
    begun.finish()
    assert begun.progress().applied == 40
    with pytest.raises(UndoExpired):
        begun.redo(by="tester").run()
    injected(19, THREADS)
    check_invariants(items, ledger=ledger, tables=[NAME])
