"""A COMMIT whose answer never comes: what was asked for is done once, and the caller is told the truth."""

import tempfile
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import StoreUnavailable
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.handles import ExecutionHandle
from tests.crash.harness import make_places, scores, topics
from tests.crash.proxy import Fate, Proxy, proxied
from tests.invariants import check_invariants

FATES = [Fate.ANSWER_LOST, Fate.LOST, Fate.LATE]
Lossy = tuple[Proxy, Ledger]


@pytest.fixture
def lossy(database_url: str) -> Generator[Lossy]:
    """A ledger whose connections go through the proxy."""
    with (
        tempfile.TemporaryDirectory(prefix="al-") as directory,  # a socket's path must be short
        proxied(database_url, Path(directory)) as (proxy, url),
        open_ledger(url) as ledger,
    ):
        yield proxy, ledger


def add_one(ledger: Ledger, *, records: int = 100, batch: int = 100) -> Request:
    request = ledger.on("places").where(col("id") <= records).update(score=col("score") + 1)
    return request.by("user:1").batch_size(batch)


def keyed(ledger: Ledger, keys: Iterable[int]) -> Request:
    return ledger.on("places").keys(keys).update(score=col("score") + 1).by("user:1")


ASKED: dict[str, Callable[[Ledger], ExecutionHandle]] = {
    "one record": lambda ledger: add_one(ledger, records=1).run(),
    "one batch": lambda ledger: add_one(ledger).run(),
    "batches": lambda ledger: add_one(ledger, batch=20).run(),
    "submitted": lambda ledger: add_one(ledger).submit(),
    "keys": lambda ledger: keyed(ledger, list(range(1, 101))).run(),
}


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("what", ASKED)
def test_execution(lossy: Lossy, connection: Connection[DictRow], what: str, fate: Fate) -> None:
    make_places(connection, 200)
    proxy, ledger = lossy
    proxy.will(fate)
    execution = ASKED[what](ledger)
    assert proxy.struck
    execution.finish()
    assert execution.status == "completed"
    assert scores(connection) == {
        0: 200 - execution.progress().applied,
        1: execution.progress().applied,
    }
    assert topics(connection)["execution.requested"] == 1
    assert topics(connection)["execution.completed"] == 1
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("fates", [[fate] for fate in FATES] + [FATES * 2], ids=str)
def test_worker(lossy: Lossy, connection: Connection[DictRow], fates: list[Fate]) -> None:
    """Its plan and its batches, one after the other."""
    make_places(connection, 200)
    proxy, ledger = lossy
    for planning in (False, True):
        request = add_one(ledger, records=200, batch=20)
        execution = (request.streaming() if planning else request).submit()
        worker = ledger.worker()
        done = 0
        while is_open(connection):
            proxy.will(*(fates if done % 2 else ()))  # a COMMIT that is always lost gets nowhere
            worker.step(execution.id)
            done += 1
            assert done < 200
        proxy.will()
        assert execution.status == "completed"
    assert scores(connection) == {2: 200}
    assert topics(connection)["execution.completed"] == 2
    check_invariants(connection, ledger=ledger, tables=["places"])


def is_open(connection: Connection[DictRow]) -> bool:
    """Look whether anything is still to be done, past the proxy."""
    return bool(connection.execute("SELECT FROM action_ledger.work_queue").fetchall())


@pytest.mark.parametrize("fate", FATES)
def test_undo(lossy: Lossy, connection: Connection[DictRow], fate: Fate) -> None:
    make_places(connection, 200)
    proxy, ledger = lossy
    execution = add_one(ledger, batch=20).run()
    proxy.will(fate, Fate.ANSWERED, Fate.ANSWERED, fate)
    undo = execution.undo(by="user:2").run()
    assert proxy.struck
    assert undo.status == "completed"
    assert scores(connection) == {0: 200}
    assert topics(connection)["undo.requested"] == topics(connection)["undo.completed"] == 1
    redo = undo.redo(by="user:2")
    proxy.will(fate)
    assert redo.run().status == "completed"
    assert scores(connection) == {0: 100, 1: 100}
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("fate", FATES)
def test_streamed_keys(lossy: Lossy, connection: Connection[DictRow], fate: Fate) -> None:
    """They cannot be read a second time: done once, or refused and not done, never in doubt."""
    make_places(connection, 200)
    proxy, ledger = lossy
    request = keyed(ledger, iter(range(1, 101)))
    proxy.will(fate)
    if fate is Fate.LOST:
        with pytest.raises(StoreUnavailable):
            request.run()
        assert scores(connection) == {0: 200}
        assert topics(connection) == {}
    else:
        assert request.run().status == "completed"
        assert scores(connection) == {0: 100, 1: 100}
    check_invariants(connection, ledger=ledger, tables=["places"])
