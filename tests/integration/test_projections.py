"""Rebuild and verify: beside the live view, whole at every moment, and equal afterwards."""

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import ProjectionBlocked, RebuildRunning, UnknownProjection
from action_ledger.ops import Ledger
from action_ledger.projections import rebuild as rebuilding
from action_ledger.projections.in_place import IN_PLACE
from tests.dump import dump_ledger
from tests.journal import append, insert_by_hand, install, story
from tests.schedules import add_one, hourly
from tests.some_work import some_work, verified

TABLES = (
    "executions",
    "batches",
    "undos",
    "audit",
    "schedules",
    "schedule_runs",
    "locks",
    "exports",
)
NAMES = (
    *("work_queue", "schedule_queue", "chain_queue", "progress", "schedules", "chains", "locks"),
    *("exports", "audit", "hook_deliveries"),
)


def relations(connection: Connection[DictRow]) -> list[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'action_ledger'::regnamespace"
        " AND relkind = 'r' ORDER BY 1"
    ).fetchall()
    return [row["relname"] for row in rows]


def exclusive_locks(connection: Connection[DictRow]) -> set[str]:
    """The tables that somebody holds ACCESS EXCLUSIVE on, as far as others can see them."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
        " WHERE l.mode = 'AccessExclusiveLock' AND l.granted"
        " AND c.relnamespace = 'action_ledger'::regnamespace"
    ).fetchall()
    return {row["relname"] for row in rows}


@contextmanager
def in_threads(*works: Callable[[Callable[[], bool]], None]) -> Generator[None]:
    """Do these again and again, until the block ends; what they raise is raised."""
    stopped = threading.Event()

    def repeat(work: Callable[[Callable[[], bool]], None]) -> None:
        while not stopped.is_set():
            work(stopped.is_set)

    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(repeat, work) for work in works]
        try:
            yield
        finally:
            stopped.set()
        for each in running:
            each.result()


@pytest.mark.slow
def test_a_rebuild_among_writers_and_readers(  # noqa: C901 - four who do different things
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    """Two workers write all the time; every reader sees a whole view; nobody is shut out of it."""
    waits: list[float] = []
    most = {"executions": 0, "batches": 0, "events": 0}

    def write(stopped: Callable[[], bool]) -> None:
        started = time.monotonic()
        asked = ledger.on(places).all().update(score=col("score") + 1).by("a")
        execution = asked.batch_size(10).on_locked("skip").submit()
        waits.append(time.monotonic() - started)
        worker = ledger.worker()
        while not stopped():
            started = time.monotonic()
            if not worker.step(execution.id):
                return
            waits.append(time.monotonic() - started)

    def read(_: Callable[[], bool]) -> None:
        seen = ledger.executions(limit=10_000)
        for each in seen:
            assert each.applied + each.failed + each.skipped + each.pending == each.total
            assert each.batches_done <= each.batches
        now = {
            "executions": len(seen),
            "batches": sum(each.batches for each in seen),
            "events": max((each.position for each in ledger.audit(limit=100_000)), default=0),
        }
        for what, count in now.items():
            assert count >= most[what], f"there were {most[what]} {what}, and now {count}"
        most.update(now)

    def follow(_: Callable[[], bool]) -> None:
        ledger.catch_up()
        time.sleep(0.01)

    def watch(*_: object) -> None:
        locked = exclusive_locks(connection)
        assert not locked, locked

    with in_threads(write, write, read, follow):
        time.sleep(0.3)
        for _ in range(4):
            for done in ledger.projections.rebuild(watch=watch):
                assert done.events > 0
            assert verified(ledger) == []
    assert most["executions"] > 2
    for view in ledger.executions(limit=10_000):
        ledger.execution(view.id).finish()
    ledger.catch_up()
    assert verified(ledger) == []
    assert max(waits) < 5
    generations = {each.name: each.generation for each in ledger.projections.status()}
    assert generations == {name: 1 if name in IN_PLACE else 5 for name in NAMES}


def test_writers_are_held_up_for_the_tail_only(
    ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("action_ledger.projections.block.BLOCK", 10)
    monkeypatch.setattr(rebuilding, "TAIL", 25)
    for _ in range(5):
        append(ledger.store, *story(), *story(), *story(), *story(), *story())
    ledger.catch_up()
    for name, held in (("progress", 1), ("work_queue", 1), ("audit", 0)):
        free: list[int] = []
        holding: list[int] = []

        def watch(
            _: str, position: int, head: int, free: Any = free, holding: Any = holding
        ) -> None:
            row = connection.execute(
                "SELECT count(*) AS locks FROM pg_locks WHERE mode = 'ExclusiveLock' AND granted"
                " AND relation = 'action_ledger.stored_events'::regclass"
            ).fetchone()
            assert row is not None
            (holding if row["locks"] else free).append(head - position)
            if not row["locks"] and len(free) < 4:
                append(ledger.store, *story())  # a writer does not wait, and is caught up with

        done = ledger.projections.rebuild([name], watch=watch)[0]
        assert done.events >= 84
        assert len(free) >= 5
        assert bool(holding) == bool(held)
        assert not holding or max(holding) < 25 + 9
    ledger.catch_up()
    assert verified(ledger) == []


def test_rebuilt_is_live_row_for_row(
    ledger: Ledger, places: str, connection: Connection[DictRow], tmp_path: Path
) -> None:
    some_work(ledger, places)
    hourly(ledger, places).run_now(by="d")
    request = add_one(ledger, places).notify(complete="told")
    request.then(request).submit()
    request.then(request).run()
    ledger.on(places).all().export(tmp_path / "a.csv").by("e").run()
    ledger.catch_up()
    before = dump_ledger(connection)
    for done in ledger.projections.rebuild():
        assert done.rows > 0
    after = dump_ledger(connection)
    for table in (*TABLES, "chains", "chain_steps"):
        assert after[f"view_{table}_g2"] == before[f"view_{table}_g1"]
    for queue in IN_PLACE:
        assert after[queue] == before[queue]
    assert verified(ledger) == []


def test_a_rebuilt_table_is_made_like_the_live_one(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    def described(table: str) -> object:
        return connection.execute(
            "SELECT c.reloptions, (SELECT array_agg(format('%%s %%s %%s', a.attname,"
            "  format_type(a.atttypid, a.atttypmod), a.attnotnull) ORDER BY a.attnum)"
            "  FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0) AS columns,"
            " (SELECT array_agg(regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '')"
            "  || i.indisunique ORDER BY regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '')) FROM pg_index i WHERE i.indrelid = c.oid) AS indexes"
            " FROM pg_class c WHERE c.oid = to_regclass(%s)",
            [f"action_ledger.{table}"],
        ).fetchone()

    install(connection)
    ledger.projections.rebuild(["progress", "audit", "schedules", "chains", "locks", "exports"])
    for table in (*TABLES, "chains", "chain_steps"):
        assert described(f"view_{table}_g2") == described(f"view_{table}_g1") is not None


def test_old_generations_go_with_the_next_rebuild(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    some_work(ledger, places)
    for n in range(1, 5):
        tables = [name for name in relations(connection) if "_g" in name]
        assert all(name.endswith((f"_g{n}", f"_g{n - 1}")) for name in tables), tables
        ledger.projections.rebuild(["progress", "audit", "schedules", "chains", "locks", "exports"])
        ledger.catch_up()
    rows = connection.execute(
        "SELECT application_name AS n FROM action_ledger.notification_tracking"
    )
    assert sorted(row["n"] for row in rows) == ["audit.g4", "audit.g5", "hook_deliveries.g1"]


def test_an_old_generation_that_is_read_stays_for_a_while(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    with connection.transaction():
        connection.execute("SELECT FROM action_ledger.view_audit_g1")
        for _ in range(2):
            ledger.projections.rebuild(["audit"])
        assert "view_audit_g1" in relations(connection)
    ledger.projections.rebuild(["audit"])
    assert [name for name in relations(connection) if "audit" in name] == [
        "view_audit_g3",
        "view_audit_g4",
    ]


class TestFailures:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_rebuild_that_fails_leaves_nothing(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], name: str
    ) -> None:
        some_work(ledger, places)
        before = dump_ledger(connection)

        def watch(*_: object) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ledger.projections.rebuild([name], watch=watch)
        assert dump_ledger(connection) == before
        assert ledger.projections.rebuild([name])[0].events > 0
        assert verified(ledger) == []

    def test_two_rebuilds_of_one_view_at_once(self, ledger: Ledger, places: str) -> None:
        some_work(ledger, places)
        told: list[str] = []

        def watch(name: str, _: int, __: int) -> None:
            with pytest.raises(RebuildRunning) as caught:
                ledger.projections.rebuild([name])
            assert caught.value.projection == name
            told.append(name)

        ledger.projections.rebuild(watch=watch)
        assert sorted(set(told)) == sorted(NAMES)
        assert verified(ledger) == []

    def test_an_unreadable_event_stops_what_must_be_whole(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        some_work(ledger, places)
        id_ = story()[0].originator_id
        insert_by_hand(connection, id_, "execution.exploded", "{}")
        ledger.catch_up()
        before = dump_ledger(connection)
        for name in ("progress", "work_queue"):
            with pytest.raises(ProjectionBlocked) as caught:
                ledger.projections.rebuild([name])
            assert (caught.value.topic, caught.value.projection) == ("execution.exploded", name)
        assert dump_ledger(connection) == before
        done = ledger.projections.rebuild(["audit"])[0]
        assert done.parked == 1
        for each in ledger.projections.verify():
            assert not each.equal
            assert "execution.exploded" in (each.difference or "")

    def test_unknown_names(self, ledger: Ledger) -> None:
        for ask in (ledger.projections.rebuild, ledger.projections.verify):
            with pytest.raises(UnknownProjection) as caught:
                ask(["progress", "progres"])
            assert caught.value.known == NAMES
        assert {each.generation for each in ledger.projections.status()} == {1}
