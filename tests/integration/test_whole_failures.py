"""What could not be done or taken back at all is listed record by record, and the undo says that it failed."""

from typing import LiteralString

import pytest
from psycopg import Connection
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import ExecutionHandle, Ledger, UndoHandle, open_ledger
from tests.command_line import CommandLine
from tests.crash.test_failures import login
from tests.exact import run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres

DRIFTS: dict[str, tuple[LiteralString, LiteralString | None, str]] = {
    "renamed": (
        "ALTER TABLE places RENAME score TO points",
        "ALTER TABLE places RENAME points TO score",
        "schema_drift",
    ),
    "dropped": ("DROP TABLE places", None, "unknown_table"),
}


def score(ledger: Ledger, places: str, upto: int = 30) -> ExecutionHandle:
    asked = ledger.on(places).where(col("id") <= upto).update(score=col("score") + 1)
    return asked.by("t").batch_size(10).run()


def listed(handle: ExecutionHandle | UndoHandle) -> dict[str, int]:
    """How many records each of an undo's or an execution's lists has, each key once."""
    lists = {"failed": list(handle.failures()), "skipped": list(handle.skipped())}
    if isinstance(handle, UndoHandle):
        lists["skipped"] += handle.conflicts()
    for outcomes in lists.values():
        assert len({(one.batch, one.key) for one in outcomes}) == len(outcomes)
    return {name: len(outcomes) for name, outcomes in lists.items()}


def test_records_of_a_batch_that_could_not_be_applied(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    execution = ledger.on(places).all().update(score=0).by("t").batch_size(40).submit()
    worker = ledger.worker()
    assert worker.step(execution.id)
    assert worker.step(execution.id)
    run(connection, "ALTER TABLE places RENAME score TO points")
    worker.finish(execution.id)
    assert (execution.status, execution.error) == ("failed", "unknown_column")
    failures = list(execution.failures())
    assert [(one.key, one.batch) for one in failures] == [
        ((str(n),), 2 if n <= 80 else 3) for n in range(41, 101)
    ]
    assert {(one.reason, one.sqlstate) for one in failures} == {("unknown_column", None)}
    assert "score" in (failures[0].message or "")
    assert listed(execution) == {"failed": 60, "skipped": 0}
    check_invariants(connection, ledger=ledger)


def test_a_right_that_is_missing_is_named(
    database_url: str, places: str, connection: Connection[DictRow]
) -> None:
    with login(connection, database_url) as (name, url), open_ledger(url) as ledger:
        execution = score(ledger, places)
        undo = execution.undo(by="t").submit()
        connection.execute(f'REVOKE UPDATE ON places FROM "{name}"'.encode())
        ledger.worker().finish(undo.id)
        (failure, *_) = undo.failures()
        assert (failure.reason, failure.sqlstate) in {
            ("permission_denied", None),
            ("refused_by_database", InsufficientPrivilege.sqlstate),
        }
        assert failure.message
        assert listed(undo) == {"failed": 30, "skipped": 0}
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("drift", DRIFTS)
def test_records_of_an_undo_that_could_not_be_applied(
    ledger: Ledger, places: str, connection: Connection[DictRow], drift: str
) -> None:
    """Some were undone before, some are redone, and only some are chosen: exactly the others are listed."""
    alter, repair, code = DRIFTS[drift]
    execution = score(ledger, places)
    first = execution.undo(by="t").keys(range(5, 26)).run()
    first.redo(by="t").keys([7, 8, 21]).run()
    undo = execution.undo(by="t").keys([1, 2, 7, 9, 21, 30]).submit()
    assert undo.progress().total == 5
    run(connection, alter)
    ledger.worker().finish(undo.id)
    assert (undo.status, undo.error) == ("failed", code)
    assert sorted(int(one.key[0]) for one in undo.failures()) == [1, 2, 7, 21, 30]
    assert {one.reason for one in undo.failures()} == {code}
    assert listed(undo) == {"failed": 5, "skipped": 0}
    check_invariants(connection, ledger=ledger)
    if repair is not None:
        run(connection, repair)
        again = execution.undo(by="t").run()
        assert (again.status, again.error, again.progress().applied) == ("completed", None, 12)
        assert connection.execute("SELECT FROM places WHERE score <> id").fetchall() == []
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_keys_are_listed_as_they_were_planned(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """1.0 and 1.00 are one key and two texts, and a table that is gone cannot be asked."""
    run(
        connection,
        "CREATE TABLE prices (price numeric, unit text, v int, PRIMARY KEY (price, unit))",
        "INSERT INTO prices VALUES (1.0, 'a,b', 0), (2.50, 'NULL', 0), (3, '', 0)",
    )
    execution = ledger.on("prices").all().update(v=1).by("t").run()
    undo = execution.undo(by="t").keys([("1", "a,b"), ("2.5000", "NULL")]).submit()
    run(connection, "DROP TABLE prices")
    ledger.worker().finish(undo.id)
    assert sorted(one.key for one in undo.failures()) == [("1.0", "a,b"), ("2.50", "NULL")]
    check_invariants(connection, ledger=ledger)


def test_a_redo_that_could_not_be_applied(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    execution = ledger.on(places).keys(range(1, 8)).delete(hard=True).by("t").batch_size(3).run()
    undo = execution.undo(by="t").run()
    redo = undo.redo(by="t").submit()
    run(connection, "ALTER TABLE places DROP COLUMN note")
    ledger.worker().finish(redo.id)
    assert (redo.status, redo.error) == ("failed", "schema_drift")
    assert listed(redo) == {"failed": 7, "skipped": 0}
    check_invariants(connection, ledger=ledger)


def test_every_outcome_of_an_undo_is_listed(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    """Restored, in conflict, swallowed by a trigger, and refused: together they are all."""
    execution = score(ledger, places)
    run(
        connection,
        "UPDATE places SET score = 0 WHERE id IN (3, 4)",
        "DELETE FROM places WHERE id = 5",
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.id IN (6, 17) THEN RETURN NULL; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER keep BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION keep()",
        "ALTER TABLE places ADD CHECK (id <> 8 OR score <> 8)",
    )
    undo = execution.undo(by="t").run()
    progress = undo.progress()
    assert undo.status == "completed"
    assert [one.key for one in undo.conflicts()] == [("3",), ("4",), ("5",)]
    assert [(one.key, one.reason) for one in undo.skipped()] == [
        (("6",), "trigger"),
        (("17",), "trigger"),
    ]
    assert [(one.key, one.sqlstate) for one in undo.failures()] == [(("8",), "23514")]
    assert (progress.applied, progress.skipped, progress.failed) == (24, 5, 1)
    assert listed(undo) == {"failed": progress.failed, "skipped": progress.skipped}
    check_invariants(connection, ledger=ledger)


def test_an_undo_in_which_each_record_failed_has_come_to_its_end(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    """As an execution does: the tally says it, and what it says of each record is listed."""
    execution = score(ledger, places, 10)
    run(connection, "ALTER TABLE places ADD CHECK (id > 10 OR score > id)")
    undo = execution.undo(by="t").run()
    assert (undo.status, undo.error) == ("completed", None)
    assert undo.progress().failed == 10
    assert {one.sqlstate for one in undo.failures()} == {"23514"}
    check_invariants(connection, ledger=ledger)


def test_the_command_line_tells(
    database_url: str, ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    cli = CommandLine(database_url)
    execution = score(ledger, places, 4)
    undo = execution.undo(by="t").submit()
    run(connection, "ALTER TABLE places RENAME score TO points")
    ledger.worker().finish(undo.id)
    said = cli("show", undo.id).out
    assert "It failed: schema_drift" in said
    assert said.count("column score is gone") == 4
    assert f"Try the rest again:\n  action-ledger undo {execution.id}" in said
    assert "redo" not in said
    shown = cli("show", undo.id, "--json").json
    assert [one["key"] for one in shown["failures"]] == [["1"], ["2"], ["3"], ["4"]]
    assert (shown["status"], shown["error"], shown["failed"]) == ("failed", "schema_drift", 4)


def test_the_exit_code_of_an_undo_that_failed(
    database_url: str, ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    execution = score(ledger, places, 4)
    run(
        connection,
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN EXECUTE 'SELECT * FROM nowhere'; RETURN NEW; END $$",
        "CREATE TRIGGER stop BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION stop()",
    )
    undone = CommandLine(database_url)("undo", execution.id, "--by", "t")
    assert undone.code == 1
    assert "It failed: 42P01" in undone.out
    assert undone.out.count('relation "nowhere" does not exist') == 4
