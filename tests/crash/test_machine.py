"""Commands, workers, crashes and outsiders in any order, against a model of rows and statuses."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from action_ledger.domain.columns import col
from action_ledger.domain.errors import AlreadyRetried, RecordsLocked, Refused
from action_ledger.ops import open_ledger
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.workers.steps import strike
from tests.crash.harness import make_places
from tests.crash.machine_model import Did, Undid, World
from tests.faults import injected
from tests.invariants import check_closed, check_invariants, check_one_effect_set, check_streams
from tests.servers import TestServer

ROWS = 12
QUICK = bool(os.environ.get("ACTION_LEDGER_QUICK_CRASH"))
NEVER = 0
PROJECTIONS = ("progress", "audit", "work_queue")

# So many arrivals at step points until the crash; most often there is none.
crash = st.one_of(st.just(NEVER), st.integers(1, 9))
which = st.integers(0, 20)


class Killed(BaseException):
    """A process that ends here: no handler of a worker's catches it, and its transaction is rolled back."""


class Machine(RuleBasedStateMachine):
    """Each example has a database of its own."""

    def __init__(self, server: TestServer) -> None:
        super().__init__()
        self.stack = ExitStack()
        url = self.stack.enter_context(server.database())
        self.connection = self.stack.enter_context(
            psycopg.connect(url, autocommit=True, row_factory=dict_row)
        )
        make_places(self.connection, ROWS)
        self.ledger = self.stack.enter_context(open_ledger(url))
        self.world = World(self.rows())

    def rows(self) -> dict[int, int]:
        found = self.connection.execute("SELECT id, score FROM places ORDER BY id").fetchall()
        return {row["id"]: row["score"] for row in found}

    def attempt(self, at: int, act: Callable[[], Any]) -> Any:
        """Do something, but be killed at the n-th step point that it comes to; then give None."""
        arrivals = 0

        def hook(_: str) -> None:
            nonlocal arrivals
            arrivals += 1
            if arrivals == at:
                raise Killed

        token = strike.set(hook)
        try:
            return act()
        except Killed:
            injected(1)
            return None
        finally:
            strike.reset(token)

    # ---- commands

    @rule(low=st.integers(1, ROWS), size=st.integers(1, ROWS), batch=st.integers(1, 5), at=crash,
          streaming=st.booleans())  # fmt: skip
    def submit(self, low: int, size: int, batch: int, at: int, *, streaming: bool) -> None:
        keys = {key for key in range(low, low + size) if key <= ROWS}
        request = (
            self.ledger.on("places")
            .where((col("id") >= low) & (col("id") < low + size))
            .update(score=col("score") + 1)
            .by("user:1")
            .batch_size(batch)
        )
        request = request.streaming() if streaming else request.on_locked("wait")
        self.add(self.attempt(at, request.submit), keys, batch)

    def add(self, handle: ExecutionHandle | None, keys: set[int], batch: int) -> None:
        if handle is not None:
            self.world.did.append(Did(handle, keys, batch, pending=set(keys)))

    @precondition(lambda self: self.world.did)
    @rule(n=which, how=st.sampled_from(["pause", "resume", "cancel", "retune"]), at=crash)
    def steer(self, n: int, how: str, at: int) -> None:
        did = self.world.did[n % len(self.world.did)]
        before = did.handle.status
        options = {"concurrency": 1 + n % 3} if how == "retune" else {}
        try:
            done = self.attempt(
                at, lambda: getattr(did.handle, how)(by="user:2", **options) or True
            )
        except Refused:
            assert before in did.handle.ended
            return
        expected = {"pause": "paused", "cancel": "cancelled"}.get(how, before)
        if how == "resume" and before == "paused":
            expected = "running"  # also where planning has not begun
        # Whoever crashes may have committed before.
        assert did.handle.status in ({expected} if done else {before, expected})

    @precondition(lambda self: self.world.did)
    @rule(n=which, at=crash)
    def undo(self, n: int, at: int) -> None:
        did = self.world.did[n % len(self.world.did)]
        free = did.handle.status in did.handle.ended and not self.undoing(did)
        try:
            handle = self.attempt(at, did.handle.undo(by="user:2").submit)
        except RecordsLocked:
            assert self.ledger.locks()
            return
        except Refused:
            assert not (free and did.held), "refused although there is something to take back"
            return
        if handle is not None:
            assert did.held
            self.world.undid.append(Undid(handle, did, dict(did.held)))

    def undoing(self, did: Did) -> bool:
        return any(
            undid.of is did and undid.handle.status not in undid.handle.ended
            for undid in self.world.undid
        )

    @precondition(lambda self: any(undid.redoes is None for undid in self.world.undid))
    @rule(n=which, at=crash)
    def redo(self, n: int, at: int) -> None:
        undone = [undid for undid in self.world.undid if undid.redoes is None]
        undid = undone[n % len(undone)]
        free = not self.undoing(undid.of)
        try:
            handle = self.attempt(at, undid.handle.redo(by="user:2").submit)
        except RecordsLocked:
            assert self.ledger.locks()
            return
        except Refused:
            assert not (free and undid.back), "refused although there is something to apply again"
            return
        if handle is not None:
            wanted = {key: (after, before) for key, (before, after) in undid.back.items()}
            self.world.undid.append(Undid(handle, undid.of, wanted, redoes=undid))

    @precondition(lambda self: self.world.did)
    @rule(n=which, at=crash)
    def retry(self, n: int, at: int) -> None:
        did = self.world.did[n % len(self.world.did)]
        if did.handle.status != "cancelled":
            return
        left = {int(outcome.key[0]) for outcome in did.handle.not_processed()}
        assert left <= did.pending
        request = did.handle.retry(by="user:2", not_processed=True).on_locked("wait")
        try:
            handle = self.attempt(at, request.submit)
        except AlreadyRetried:
            assert any(one.handle.row()["retry_of"] for one in self.world.did)
            return
        self.add(handle, left, ROWS)

    # ---- work

    @precondition(lambda self: self.world.did)
    @rule(n=which, at=crash)
    def work(self, n: int, at: int) -> None:
        did = self.world.did[n % len(self.world.did)]
        done = self.attempt(at, lambda: self.ledger.worker().step(did.handle.id))
        moved = self.world.move(self.rows())
        assert done or not moved, "killed, and yet something is written"
        did.take(moved)
        did.planned = did.planned or did.handle.progress().total_final

    @precondition(lambda self: self.world.undid)
    @rule(n=which, at=crash)
    def work_back(self, n: int, at: int) -> None:
        undid = self.world.undid[n % len(self.world.undid)]
        done = self.attempt(at, lambda: self.ledger.worker().step(undid.handle.id))
        moved = self.world.move(self.rows())
        assert done or not moved, "killed, and yet something is written"
        undid.take(moved)

    @rule(key=st.integers(1, ROWS), score=st.integers(0, ROWS))
    def outsider(self, key: int, score: int) -> None:
        self.connection.execute("UPDATE places SET score = %s WHERE id = %s", [score, key])
        self.world.touched.add(key)
        self.world.scores[key] = score

    @rule(name=st.sampled_from(PROJECTIONS), at=crash)
    def rebuild(self, name: str, at: int) -> None:
        self.attempt(at, lambda: self.ledger.projections.rebuild([name]))

    @rule(at=crash)
    def catch_up(self, at: int) -> None:
        self.attempt(at, self.ledger.catch_up)

    # ---- what is always so

    @invariant()
    def rows_are_as_the_model_has_them(self) -> None:
        assert self.rows() == self.world.scores

    @invariant()
    def counts_add_up(self) -> None:
        check_streams(self.connection)
        check_one_effect_set(self.connection)
        check_closed(self.connection)
        for did in self.world.did:
            progress = did.handle.progress()
            assert progress.applied == did.applied
            assert progress.applied + progress.pending + progress.skipped == progress.total
            if progress.status == "failed":  # it waited for another retry, which has done it
                assert did.handle.row()["error"] == "already_retried"
                assert progress.total == 0
            elif progress.total_final and progress.status != "cancelled":
                assert progress.total == len(did.keys)

    def teardown(self) -> None:
        with self.stack:
            for did in self.world.did:
                if did.handle.status == "paused":
                    did.handle.resume(by="user:3")
            jobs: list[Did | Undid] = [*self.world.did, *self.world.undid]
            while any(self.advance(job) for job in jobs):  # some wait for others
                pass
            for did in self.world.did:
                self.finish(did.handle, did.take)
                if did.handle.status == "completed":
                    left = [one for one in did.handle.skipped() if one.reason == "locked"]
                    assert did.pending == {int(one.key[0]) for one in left}
            for undid in self.world.undid:
                self.finish(undid.handle, undid.take)
                assert undid.handle.status == "completed"
                kept = {int(outcome.key[0]) for outcome in undid.handle.conflicts()}
                assert kept == undid.wanted.keys() - undid.taken.keys()
            check_invariants(
                self.connection,
                ledger=self.ledger,
                tables=["places"],
                touched=map(str, self.world.touched),
            )

    def advance(self, job: Did | Undid) -> bool:
        done = self.ledger.worker().step(job.handle.id)
        job.take(self.world.move(self.rows()))
        return done

    def finish(self, handle: Any, take: Callable[[dict[int, tuple[int, int]]], None]) -> None:
        worker = self.ledger.worker()
        while worker.step(handle.id):
            take(self.world.move(self.rows()))
        worker.finish(handle.id)
        assert self.rows() == self.world.scores
        assert handle.status in handle.ended


def run(server: TestServer, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Machine(server),  # type: ignore[arg-type]  # it calls what it is given
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink) if examples > 20 else (Phase.generate,),
        ),
    )


def test_any_order(server: TestServer) -> None:
    run(server, 6, 20)


@pytest.mark.crash
@pytest.mark.slow
def test_any_order_for_long(server: TestServer) -> None:
    run(server, 10 if QUICK else 60, 40)
