"""Many at once on overlapping records: whose a record is, is never in doubt, and everything comes to an end."""

import random
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    AlreadyUndone,
    ExecutionEnded,
    LockNotHeld,
    NothingToUndo,
    RecordsLocked,
)
from action_ledger.ops import ExecutionHandle, Ledger
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants

THREADS = 16
TURNS = 4
SEED = 4711


def act(ledger: Ledger, number: int) -> list[ExecutionHandle]:
    """Ask for this and that, from one thread; give what was taken in."""
    choice = random.Random(SEED + number)  # noqa: S311 - no secret
    taken: list[ExecutionHandle] = []
    for _ in range(TURNS):
        lo = choice.randrange(PLACES)
        hi = lo + choice.randrange(1, PLACES // 2)
        chosen = (
            ledger.on("places").keys(range(lo, hi))
            if choice.random() < 0.3
            else ledger.on("places").where((col("id") >= lo) & (col("id") < hi))
        )
        request = chosen.update(score=col("score") + 1).by(f"user:{number}")
        request = request.batch_size(choice.choice([3, 11, 50]))
        how = choice.choice(["fail", "skip", "wait", "streaming"])
        request = request.streaming() if how == "streaming" else request.on_locked(how)
        try:
            taken.append(request.submit() if choice.random() < 0.6 else request.run())
        except RecordsLocked:
            continue
        if choice.random() < 0.3:
            meddle(choice, taken[-1])
    return taken


def meddle(choice: random.Random, execution: ExecutionHandle) -> None:
    try:
        if choice.random() < 0.5:
            execution.break_lock(by="user:0")
        elif execution.status == "completed":
            execution.undo(by="user:0").submit()
        else:
            execution.cancel(by="user:0")
    except (AlreadyUndone, ExecutionEnded, LockNotHeld, NothingToUndo, RecordsLocked):
        pass


@pytest.mark.usefixtures("places")
def test_no_record_has_two_owners(ledger: Ledger, connection: Connection[DictRow]) -> None:
    over = Event()

    def work() -> None:
        worker = ledger.worker()
        while not over.is_set():
            if not worker.step():
                over.wait(0.02)

    workers = [Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            each = pool.map(lambda number: act(ledger, number), range(THREADS))
            taken = [execution for some in each for execution in some]
        for execution in taken:
            execution.wait(timeout=60)
            for undo in execution.undos():
                undo.wait(timeout=60)
    finally:
        over.set()
        for worker in workers:
            worker.join()
    reasons = {execution.error for execution in taken} - {None}
    assert reasons <= {"records_locked", "lock_broken"}
    assert ledger.locks() == []
    told = connection.execute(
        "SELECT topic, count(*) AS n FROM action_ledger.stored_events"
        " WHERE topic LIKE 'record_lock.%' GROUP BY topic"
    ).fetchall()
    counts = {row["topic"].partition(".")[2]: row["n"] for row in told}
    assert min(counts.get(name, 0) for name in ("awaited", "acquired", "released")) > 5, counts
    check_invariants(connection, ledger=ledger, tables=["places"])
