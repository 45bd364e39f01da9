"""The predecessor's faults, one test for each that belongs to what there is here: none of them may come back.

The numbers are those of its list of faults. 16 is about numbers for operators.
"""

import signal
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection, sql
from psycopg.errors import IntegrityConstraintViolation
from psycopg.rows import DictRow

from action_ledger.domain import Notice, Parameters, RequestExecution, col, record_action
from action_ledger.domain.errors import (
    InvalidParameters,
    InvalidValue,
    LimitReached,
    NotAuthorized,
    RecordsLocked,
    SelectionMissing,
)
from action_ledger.ops import Ledger, Plan, Settings, open_ledger
from tests.dump import dump_table
from tests.exact import run
from tests.invariants import check_invariants
from tests.schedules import hourly, hours_ago, overdue


def count(connection: Connection[DictRow], where: str) -> int:
    row = connection.execute(f"SELECT count(*) AS n FROM places WHERE {where}".encode()).fetchone()
    assert row is not None
    return int(row["n"])


def work(ledger: Ledger) -> None:
    ledger.service(Plan(name="w", until_idle=True)).run(lambda: False)


@pytest.fixture(autouse=True)
def at_the_end(connection: Connection[DictRow], request: pytest.FixtureRequest) -> Generator[None]:
    """Whatever was done, the promises hold."""
    yield
    if "places" in request.fixturenames:
        check_invariants(connection)


def test_1_undo_of_a_delete_brings_the_rows_back(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    before = dump_table(connection, places)
    for hard in (False, True):
        deleted = ledger.on(places).all().delete(hard=hard).by("a").run()
        assert dump_table(connection, places) != before
        undo = deleted.undo(by="a").run()
        assert (undo.status, undo.progress().applied) == ("completed", 100)
        assert dump_table(connection, places) == before


def test_2_an_empty_list_of_ids_means_no_row(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    before = dump_table(connection, places)
    for chosen in (
        ledger.on(places).keys([]),
        ledger.on(places).keys(iter(())),
        ledger.on(places).where(col("id").in_([])),
    ):
        assert chosen.delete(hard=True).by("a").run().progress().total == 0
    with pytest.raises(SelectionMissing):
        ledger.on(places).delete(hard=True).by("a").run()
    assert dump_table(connection, places) == before


def test_3_a_scheduled_run_runs_once_in_its_zone(
    ledger: Ledger, database_url: str, connection: Connection[DictRow], places: str
) -> None:
    """Two schedulers at once, and an undo asked of its run: the run is one, and the schedule stays where it is."""
    assert places
    schedule = hourly(ledger)
    overdue(ledger, schedule.id, hours_ago(ledger, 1))
    with open_ledger(database_url) as other:
        ready = Barrier(2)

        def serve(served: Ledger) -> None:
            ready.wait()
            work(served)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(serve, (ledger, other)))
    assert count(connection, "score = id + 1") == 100
    (fired,) = (each for each in schedule.runs() if each.outcome == "fired")
    assert fired.execution_id is not None
    due = schedule.next()
    assert ledger.execution(fired.execution_id).undo(by="a").run().progress().applied == 100
    assert schedule.next() == due
    year = datetime.now(UTC).year
    request = ledger.on("places").keys([1]).update(note="x").by("a")
    night = request.schedule(cron="30 2 * * *", timezone="Asia/Tokyo").next()
    assert night is not None
    assert (night.utcoffset(), night.hour, night.year >= year) == (timedelta(hours=9), 2, True)


def test_4_locks_are_held_and_a_rollback_takes_everything_back(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    before = dump_table(connection, places)
    holder = ledger.on(places).keys([1]).update(note="x").by("a").submit()
    with pytest.raises(RecordsLocked):
        ledger.on(places).keys([1, 2]).delete(hard=True).by("b").run()
    holder.cancel(by="a")
    run(connection, "ALTER TABLE places ADD CHECK (id <> 77 OR note IS NULL)")
    request = ledger.on(places).all().update(note="y").by("a").batch_size(20)
    assert request.on_failure("rollback").run().status == "rolled_back"
    assert dump_table(connection, places) == before


def test_5_an_undo_overwrites_no_later_edit_and_is_never_burnt(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """It works on what was cancelled or partly failed, tells of each conflict, and can be asked for again."""
    run(connection, "ALTER TABLE places ADD CONSTRAINT bad CHECK (id <> 3 OR note IS NULL)")
    execution = ledger.on(places).all().update(note="x").by("a").run()
    assert execution.progress().failed == 1
    run(connection, "UPDATE places SET note = 'mine' WHERE id = 5")
    undo = execution.undo(by="a").run()
    assert (undo.progress().applied, undo.progress().skipped) == (98, 1)
    (conflict,) = undo.conflicts()
    assert (conflict.key, conflict.recorded, conflict.current) == (("5",), {"note": "x"}, {"note": "mine"})  # fmt: skip
    assert count(connection, "note = 'mine'") == 1
    forced = execution.undo(by="a").on_conflict("force").run()
    assert forced.progress().applied == 1
    assert count(connection, "note IS NULL") == 100
    part = ledger.on(places).keys(range(10, 30)).update(note="y").by("a").batch_size(10).submit()
    ledger.worker().step(part.id)
    part.cancel(by="a")
    assert part.undo(by="a").run().progress().applied == 10
    assert count(connection, "note IS NULL") == 100


KILLED = """
import os, signal, sys
from uuid import UUID
from action_ledger.ops import open_ledger
from action_ledger.workers.steps import strike

def kill(step):
    if step == "batch.appended":
        os.kill(os.getpid(), signal.SIGKILL)

with open_ledger(sys.argv[1]) as ledger:
    strike.set(kill)
    ledger.worker().finish(UUID(sys.argv[2]))
"""


def test_6_a_batch_that_is_tried_again_is_applied_once(
    ledger: Ledger, connection: Connection[DictRow], places: str, database_url: str
) -> None:
    before = dump_table(connection, places)
    request = ledger.on(places).all().update(score=col("score") + 1).by("a").batch_size(50)
    execution = request.submit()
    for _ in range(2):
        command = [sys.executable, "-c", KILLED, database_url, str(execution.id)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert dump_table(connection, places) == before
    execution.finish()
    assert count(connection, "score = id + 1") == 100
    assert execution.progress().applied == 100
    assert execution.undo(by="a").run().progress().applied == 100
    assert dump_table(connection, places) == before


def test_7_what_is_cancelled_stays_so_and_nothing_runs_on(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    request = ledger.on(places).all().update(note="x").by("a").batch_size(10)

    def cancel(handle: Any) -> None:
        if handle.progress().applied == 30:
            handle.cancel(by="a")

    execution = request.run(watch=cancel)
    assert execution.status == "cancelled"
    work(ledger)
    assert (execution.status, count(connection, "note = 'x'")) == ("cancelled", 30)
    counts = execution.progress()
    assert (counts.applied, counts.pending, counts.total) == (30, 70, 100)


def test_8_everything_ends_and_says_how(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    on = ledger.on(places)
    assert on.where(col("id") > 999).delete().by("a").run().status == "completed"
    gone = on.keys([1, 2]).update(note="x").by("a").submit()
    run(connection, "DELETE FROM places WHERE id IN (1, 2)")
    work(ledger)
    assert (gone.status, gone.progress().skipped) == ("completed", 2)
    assert {each.reason for each in gone.skipped()} == {"vanished"}
    failing = on.where(col("id") <= 40).update(note="x").by("a").batch_size(10)
    late = failing.on_failure("stop").submit()
    run(connection, "ALTER TABLE places ADD CHECK (id <> 31 OR note IS NULL)")
    work(ledger)
    assert (late.status, late.progress().failed) == ("failed", 1)
    moved = on.where(col("note").is_null() & (col("id") > 50)).update(note="y").by("a").submit()
    run(connection, "ALTER TABLE places RENAME COLUMN note TO remark")
    work(ledger)
    assert moved.status == "failed"


def test_9_progress_reaches_100_and_is_seen_on_the_way(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    seen: list[tuple[float, float | None]] = []
    run(connection, "ALTER TABLE places ADD CHECK (id <> 31 OR note IS NULL)")

    def watch(handle: Any) -> None:
        seen.append((handle.progress().percent, handle.progress().eta))

    request = ledger.on(places).all().update(note="x").by("a").batch_size(25)
    execution = request.run(watch=watch)
    assert [percent for percent, _ in seen] == [25, 50, 75, 100]
    assert all(eta is not None for _, eta in seen[:-1])
    assert (execution.progress().percent, execution.progress().failed) == (100, 1)
    assert len(execution.events()) < 12, "events are a batch's, not a record's"


def test_10_an_error_costs_its_record_alone_and_is_kept(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    @record_action(columns=("id",))
    def refuse(record: dict[str, Any], parameters: Parameters) -> Any:
        """Refuse one of them, and meet an error at another."""
        del parameters
        if record["id"] == 8:
            raise RuntimeError("out of paper")
        return False if record["id"] == 7 else {"note": "x"}

    run(connection, "ALTER TABLE places ADD CONSTRAINT bad CHECK (id <> 9 OR note IS NULL)")
    with open_ledger(database_url, actions=[refuse]) as ledger:
        on = ledger.on(places)
        built_in = on.all().update(note="y").by("a").run()
        assert (built_in.progress().applied, count(connection, "note = 'y'")) == (99, 99)
        (failure,) = built_in.failures()
        assert (failure.key, failure.sqlstate, failure.constraint) == (("9",), "23514", "bad")
        own = on.all().apply("refuse").by("a").run()
        assert own.progress().applied == 97
        failures = {each.key: each for each in own.failures()}
    assert {key: each.reason for key, each in failures.items()} == {
        ("7",): "handler_refused",
        ("8",): "handler_failed",
        ("9",): "refused_by_database",
    }
    assert "out of paper" in str(failures["8",].message)


def test_11_records_stay_in_the_server(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """As many statements for a hundred times the records, and not one row of them comes here."""
    run(connection, "CREATE TABLE big (id int PRIMARY KEY, note text)")
    run(connection, "INSERT INTO big SELECT i FROM generate_series(1, 10000) i")
    sent: list[int] = []
    for table in (places, "big"):
        run(connection, "SELECT pg_stat_reset()")
        before = connection.execute("SELECT count(*) AS n FROM action_ledger.stored_events")
        start = before.fetchone()
        ledger.on(table).all().update(note="x").by("a").run()
        after = connection.execute("SELECT count(*) AS n FROM action_ledger.stored_events")
        end = after.fetchone()
        assert start is not None
        assert end is not None
        sent.append(end["n"] - start["n"])
    assert sent[0] == sent[1] < 10
    largest = connection.execute(
        "SELECT max(length(state)) AS n FROM action_ledger.stored_events"
    ).fetchone()
    assert largest is not None
    assert largest["n"] < 4_000, "keys and images lie apart"


def test_12_what_is_stored_selects_what_was_asked(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """A condition is kept whole: in the command, at a worker, in a schedule; a function is none."""
    narrow = (col("country") == "FR") & ((col("score") > 90) | ~(col("id") > 4))
    request = ledger.on(places).where(narrow).update(note="x").by("a")
    again = RequestExecution.model_validate_json(request.command().model_dump_json())
    ledger.handle(again.model_copy(update={"command_id": uuid4()}))
    work(ledger)
    assert count(connection, "note = 'x'") == 7
    schedule = request.schedule(cron="0 * * * *", timezone="UTC")
    run(connection, "UPDATE places SET note = NULL")
    schedule.run_now(by="a").finish()
    assert count(connection, "note = 'x'") == 7
    anything: Any = lambda query: query  # noqa: E731
    with pytest.raises(InvalidValue):
        ledger.on(places).where(anything)


def test_13_the_audit_is_never_changed_or_cut(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    run(connection, "INSERT INTO places (id, name, country, score) SELECT i, 'n', 'XX', i FROM generate_series(101, 12000) i")  # fmt: skip
    with open_ledger(database_url, authorize=lambda actor, *_: actor.subject == "owner") as ledger:
        execution = ledger.on(places).all().update(note="x").by("owner").run()
        before = connection.execute("SELECT * FROM action_ledger.stored_events").fetchall()
        assert sum(1 for _ in execution.changes()) == 12_000
        with pytest.raises(NotAuthorized):
            execution.undo(by="somebody").run()
        execution.undo(by="owner").run()
    after = connection.execute("SELECT * FROM action_ledger.stored_events").fetchall()
    assert after[: len(before)] == before
    for statement in (
        "UPDATE action_ledger.stored_events SET topic = 'x'",
        "DELETE FROM action_ledger.stored_events",
        "TRUNCATE action_ledger.stored_events",
    ):
        with pytest.raises(IntegrityConstraintViolation):
            connection.execute(statement.encode())


def test_14_chains_callbacks_validation_and_limits_work(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    told: list[Notice] = []
    settings = Settings.model_validate({"max_executions_per_minute": 4})
    with open_ledger(database_url, settings=settings, hooks={"tell": told.append}) as ledger:
        on = ledger.on(places)
        first = on.keys([1]).update(note="one")
        chain = first.then(on.keys([2]).update(note="two")).by("anonymous")
        assert chain.run().status == "completed"
        assert count(connection, "note IN ('one', 'two')") == 2
        on.keys([3]).update(note="x").by("anonymous").notify(complete="tell").run()
        assert [notice.status for notice in told] == ["completed"]
        with pytest.raises(InvalidParameters):
            on.keys([1]).apply("delete", hard="certainly not")
        on.keys([4]).update(note="x").by("anonymous").run()
        with pytest.raises(LimitReached):
            on.keys([4]).update(note="x").by("anonymous").run()


def test_15_every_format_is_written_queued_too(
    database_url: str, places: str, tmp_path: Path
) -> None:
    with open_ledger(database_url, settings=Settings(export_dir=tmp_path)) as ledger:
        for suffix in ("xlsx", "pdf", "xml", "json", "csv", "ndjson"):
            execution = ledger.on(places).all().export(f"all.{suffix}").by("a").submit()
            assert not (tmp_path / f"all.{suffix}").exists()
            work(ledger)
            assert execution.export().verify() == "equal"
            assert (tmp_path / f"all.{suffix}").stat().st_size > 100


@pytest.mark.parametrize(
    ("key", "made"),
    [
        ("k uuid PRIMARY KEY", "md5(i::text)::uuid"),
        ("k text PRIMARY KEY", "'key ' || i"),
        ("k int, l text, PRIMARY KEY (k, l)", "i, 'part ' || i"),
    ],
    ids=["uuid", "text", "composite"],
)
def test_17_keys_of_any_type(
    ledger: Ledger, connection: Connection[DictRow], key: str, made: str
) -> None:
    connection.execute(f"CREATE TABLE keyed ({key}, v int)".encode())
    connection.execute(f"INSERT INTO keyed SELECT {made}, 0 FROM generate_series(1, 30) i".encode())
    before = dump_table(connection, "keyed")
    names = ["k", "l"] if "l text" in key else ["k"]
    found = connection.execute(
        sql.SQL("SELECT {} FROM keyed LIMIT 2").format(
            sql.SQL(", ").join(map(sql.Identifier, names))
        )
    ).fetchall()
    keys = [tuple(row.values()) if len(names) > 1 else row["k"] for row in found]
    on = ledger.on("keyed")
    for request, expected in (
        (on.keys(keys).update(v=1), 2),
        (on.all().update(v=2).batch_size(7), 30),
        (on.where(col("k") == found[0]["k"]).delete(hard=True), 1),
    ):
        execution = request.by("a").run()
        assert execution.progress().applied == expected
        assert execution.undo(by="a").run().progress().applied == expected
        assert dump_table(connection, "keyed") == before
    check_invariants(connection, ledger=ledger, tables=["public.keyed"])
