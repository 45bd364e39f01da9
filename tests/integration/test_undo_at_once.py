"""Many who undo the same at once: one compensation, and a typed refusal for each of the others."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain.errors import AlreadyUndone, Refused, UndoInProgress
from action_ledger.ops import Ledger
from action_ledger.ops.handles import UndoHandle, UndoRequest
from action_ledger.workers.steps import strike
from tests.exact import dump, run
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
