"""What fails for good, what has nothing to do, and what ends in another order than usual: it all comes to an end."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import LiteralString
from uuid import UUID

import pytest
from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import NothingToUndo
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.workers.planner import PAGES_AT_ONCE
from tests.crash.harness import Watcher, make_places, scores, topics
from tests.crash.test_connections import struck
from tests.crash.test_contention import working
from tests.crash.test_foreign_locks import drain
from tests.invariants import check_invariants


def add_one(ledger: Ledger, batch: int = 100) -> Request:
    return ledger.on("places").all().update(score=col("score") + 1).by("user:1").batch_size(batch)


def steps(ledger: Ledger, job: UUID, count: int) -> None:
    """Do so many units."""
    worker = ledger.worker()
    for _ in range(count):
        assert worker.step(job)


@contextmanager
def login(connection: Connection[DictRow], url: str) -> Generator[tuple[str, str]]:
    """Make a login that is no superuser and may do everything with the ledger; gives its name and URL."""
    name = f"app_{connection.info.dbname}"
    grants: tuple[LiteralString, ...] = (
        "CREATE ROLE {} LOGIN",
        "GRANT USAGE ON SCHEMA action_ledger TO {}",
        "GRANT ALL ON ALL TABLES IN SCHEMA action_ledger TO {}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA action_ledger TO {}",
        "GRANT ALL ON places TO {}",
    )
    for grant in grants:
        connection.execute(sql.SQL(grant).format(sql.Identifier(name)))
    try:
        yield name, url.replace("postgres@", f"{name}@", 1)
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


def test_right_revoked_in_the_middle(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, 500)
    with (
        login(connection, database_url) as (name, url),
        open_ledger(url) as ledger,
        Watcher(database_url),
    ):
        execution = add_one(ledger).submit()
        steps(ledger, execution.id, 3)
        revoke = sql.SQL("REVOKE UPDATE ON places FROM {}")
        connection.execute(revoke.format(sql.Identifier(name)))
        ledger.worker().finish(execution.id)
        assert execution.status == "failed"
        assert execution.row()["error"] in {"permission_denied", InsufficientPrivilege.sqlstate}
        progress = execution.progress()
        assert (progress.applied, progress.failed, progress.pending) == (200, 300, 0)
        assert scores(connection) == {0: 300, 1: 200}
        check_invariants(connection, tables=["places"])
        connection.execute(sql.SQL("GRANT UPDATE ON places TO {}").format(sql.Identifier(name)))
        assert execution.undo(by="user:2").run().status == "completed"
        assert scores(connection) == {0: 500}
        check_invariants(connection, tables=["places"])


@pytest.mark.fault(21)
def test_undo_fails_for_good(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, 500)
    with login(connection, database_url) as (name, url), open_ledger(url) as ledger:
        execution = add_one(ledger).run()
        undo = execution.undo(by="user:2").submit()
        steps(ledger, undo.id, 2)
        connection.execute(sql.SQL("REVOKE UPDATE ON places FROM {}").format(sql.Identifier(name)))
        ledger.worker().finish(undo.id)
        progress = undo.progress()
        assert progress.status in undo.ended
        assert (progress.applied, progress.failed, progress.pending) == (200, 300, 0)
        assert scores(connection) == {0: 200, 1: 300}
        check_invariants(connection, tables=["places"])
        connection.execute(sql.SQL("GRANT UPDATE ON places TO {}").format(sql.Identifier(name)))
        execution.undo(by="user:2").run()
        assert scores(connection) == {0: 500}
        check_invariants(connection, tables=["places"])


@pytest.mark.fault(23)
@pytest.mark.every_postgres
@pytest.mark.parametrize("done", [0, 2])
def test_table_dropped(database_url: str, connection: Connection[DictRow], done: int) -> None:
    make_places(connection, 500)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(ledger).submit()
        steps(ledger, execution.id, 1 + done)
        connection.execute("DROP TABLE places")
        ledger.worker().finish(execution.id)
        assert execution.status == "failed"
        assert execution.row()["error"] == "unknown_table"
        progress = execution.progress()
        assert (progress.applied, progress.failed, progress.pending) == (
            100 * done,
            500 - 100 * done,
            0,
        )
        check_invariants(connection, ledger=ledger)


@pytest.mark.fault(23)
def test_column_dropped(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, 500)
    with open_ledger(database_url) as ledger:
        execution = add_one(ledger).submit()
        steps(ledger, execution.id, 3)
        connection.execute("ALTER TABLE places RENAME score TO points")
        ledger.worker().finish(execution.id)
        assert execution.status == "failed"
        assert execution.row()["error"] == "unknown_column"
        assert execution.progress().failed == 300
        connection.execute("ALTER TABLE places RENAME points TO score")
        assert execution.undo(by="user:2").run().progress().applied == 200
        assert scores(connection) == {0: 500}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.fault(23)
@pytest.mark.parametrize("streaming", [False, True])
def test_planning_fails(
    database_url: str, connection: Connection[DictRow], *, streaming: bool
) -> None:
    """Batches that were planned before it come to their end, and only then has the execution failed."""
    make_places(connection, 1_000)
    with open_ledger(database_url) as ledger, Watcher(database_url):
        request = add_one(ledger)
        execution = (request.streaming() if streaming else request).submit()
        if streaming:
            steps(ledger, execution.id, 1)
        connection.execute("ALTER TABLE places RENAME TO elsewhere")
        steps(ledger, execution.id, 1)
        assert execution.status == ("running" if streaming else "failed")
        connection.execute("ALTER TABLE elsewhere RENAME TO places")
        ledger.worker().finish(execution.id)
        assert execution.status == "failed"
        assert execution.row()["error"] == "unknown_table"
        planned = 100 * PAGES_AT_ONCE if streaming else 0
        progress = execution.progress()
        assert (progress.total, progress.applied, progress.pending) == (planned, planned, 0)
        assert topics(connection)["execution.failed"] == 1
        check_invariants(connection, ledger=ledger, tables=["places"])
        if streaming:
            execution.undo(by="user:2").run()
            assert scores(connection) == {0: 1_000}
        else:
            with pytest.raises(NothingToUndo):
                execution.undo(by="user:2").run()
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_planner_ends_last(database_url: str, connection: Connection[DictRow]) -> None:
    """All pages so far are done before planning ends: the execution is not, until the planner says so."""
    make_places(connection, 800)
    seen: list[str] = []
    with open_ledger(database_url) as ledger, Watcher(database_url):
        execution = add_one(ledger).streaming().submit()
        steps(ledger, execution.id, 2)

        def meanwhile() -> None:
            with working(lambda: drain(ledger, execution.id)):
                pass
            seen.append(execution.status)
            progress = execution.progress()
            assert (progress.applied, progress.pending) == (800, 0)
            assert not progress.total_final

        with struck("plan.cut", 1, meanwhile):
            ledger.worker().step(execution.id)
        assert seen == ["requested"]
        assert execution.status == "completed"
        assert topics(connection)["execution.completed"] == 1
        assert scores(connection) == {1: 800}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("planning", ["run", "submitted", "streaming", "keys", "submitted keys"])
def test_no_records(database_url: str, connection: Connection[DictRow], planning: str) -> None:
    make_places(connection, 100)
    with open_ledger(database_url) as ledger:
        none = ledger.on("places").where(col("id") < 0).update(score=0).by("user:1")
        no_keys = ledger.on("places").keys([]).update(score=0).by("user:1")
        match planning:
            case "run":
                execution = none.run()
            case "submitted":
                execution = none.submit()
            case "streaming":
                execution = none.streaming().submit()
            case "keys":
                execution = no_keys.run()
            case _:
                execution = no_keys.submit()
        ledger.worker().finish(execution.id)
        assert execution.status == "completed"
        assert execution.progress().total == 0
        assert topics(connection)["execution.completed"] == 1
        with pytest.raises(NothingToUndo):
            execution.undo(by="user:2").run()
        assert scores(connection) == {0: 100}
        check_invariants(connection, ledger=ledger, tables=["places"])
