"""Record actions from end to end: each record by a function, in its batch's transaction, and all that an update has."""

from collections.abc import Generator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import BaseModel

from action_ledger.domain import Action, Parameters, col, record_action
from action_ledger.domain.errors import UnknownColumn
from action_ledger.ops import ExecutionHandle, Ledger, Settings, open_ledger
from tests.dump import assert_at_rest
from tests.images import rows_now
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.shop import ACTIONS


def opened(url: str, *actions: Action, **settings: Any) -> Ledger:
    chosen = Settings.model_validate({"pool_max_size": 12, "lease_seconds": 1, **settings})
    return open_ledger(url, settings=chosen, actions=(*ACTIONS, *actions))


@pytest.fixture
def ledger(database_url: str) -> Generator[Ledger]:
    with opened(database_url) as one:
        yield one
        assert_at_rest(one)


def rows(connection: Connection[DictRow]) -> dict[int, DictRow]:
    return {row["id"]: row for row in connection.execute("SELECT * FROM places").fetchall()}


def failures(execution: ExecutionHandle) -> dict[int, tuple[str, str | None]]:
    return {int(each.key[0]): (each.reason, each.message) for each in execution.failures()}


def skipped(execution: ExecutionHandle) -> dict[int, str]:
    return {int(each.key[0]): each.reason for each in execution.skipped()}


def run(ledger: Ledger, name: str, below: int = PLACES, **parameters: Any) -> ExecutionHandle:
    return ledger.on("places").where(col("id") <= below).apply(name, **parameters).by("u").run()


def test_each_record_is_changed_as_the_function_says(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    before = rows(connection)
    target = ledger.on(places).where(col("country") == "FR")
    execution = target.apply("rename", suffix=" (new)").by("user:1").run()
    assert execution.status == "completed"
    assert execution.progress().applied == PLACES // 2
    assert execution.row()["batches"] == 2  # of 40, the action's own batch size
    assert execution.row()["queue"] == "names"
    for id_, row in rows(connection).items():
        was = before[id_]
        chosen = was["country"] == "FR"
        assert row["name"] == was["name"] + (" (new)" if chosen else "")
        assert row["score"] == was["score"] + chosen
    (change,) = [each for each in execution.changes() if each["key"] == ("2",)]
    assert change["before"] == {"name": "place 2", "score": "2"}
    assert change["after"] == {"name": "place 2 (new)", "score": "3"}
    assert ledger.history(places, 2)[0].after == {"name": "place 2 (new)", "score": "3"}
    check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.usefixtures("places")
def test_what_is_asked_for_wins_over_the_actions_own(ledger: Ledger) -> None:
    request = ledger.on("places").all().apply("rename").by("u").batch_size(60).queue("other")
    execution = request.run()
    assert (execution.row()["batches"], execution.row()["queue"]) == (2, "other")


class Broken(dict[Any, Any]):
    """An answer that breaks when it is read."""

    def items(self) -> Any:
        raise RuntimeError("broken")


class Named:
    """A column as some hosts have it: no text, but it says its name."""

    def __str__(self) -> str:
        return "note"


@pytest.mark.usefixtures("places")
def test_an_answer_that_breaks_fails_its_record_alone(database_url: str) -> None:
    answers: dict[int, Any] = {1: Broken(note="x"), 2: {Named(): "by its name"}, 3: {"note": "x"}}

    @record_action(label="Odd", description="Odd.", destructive=False)
    def odd(record: dict[str, Any], _parameters: Parameters) -> Any:
        return answers[record["id"]]

    with opened(database_url, odd) as ledger:
        execution = run(ledger, "odd", 3)
        assert failures(execution) == {1: ("handler_failed", "RuntimeError: broken")}
        assert [change["after"] for change in execution.changes()] == [
            {"note": "by its name"},
            {"note": "x"},
        ]


@pytest.mark.usefixtures("places")
def test_a_function_that_fails_fails_its_record_alone(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """One raises, one returns False, one is late: False is no success, and the others commit."""
    before = rows(connection)
    execution = run(ledger, "rename", 20, bad=6, refused=5, same=4, slow=7)
    progress = execution.progress()
    assert (progress.status, progress.applied) == ("completed", 9)
    assert failures(execution) == {
        **{n: ("handler_failed", f"ValueError: no name for place {n}") for n in (6, 12, 18)},
        **dict.fromkeys((5, 10, 15, 20), ("handler_refused", None)),
        7: ("timed_out", "it took longer than 0.5 seconds"),
    }
    assert skipped(execution) == dict.fromkeys((4, 8, 16), "unchanged")
    after = rows(connection)
    unchanged = {id_ for id_ in after if after[id_] == before[id_]}
    assert unchanged == {*range(21, PLACES + 1), *failures(execution), *skipped(execution)}
    check_invariants(connection, ledger=ledger, tables=["places"])
    again = execution.retry(by="u").run()
    assert (
        again.progress().total == 8
    )  # those that failed, and not those that were left as they were


@pytest.mark.usefixtures("places")
def test_what_it_returns_is_checked(database_url: str, connection: Connection[DictRow]) -> None:
    answers: dict[int, Any] = {
        1: {"nonesuch": 1},
        2: {"id": 7},
        3: {"score": "many"},
        4: {"score": object()},
        5: True,
        6: {"name": None},
        7: {"name": "x" * 41},
        8: {"score": 80},
        9: {"country": "IS"},
        10: {},
    }

    @record_action
    def odd(record: dict[str, Any], _parameters: Parameters) -> Any:
        """Return all kinds of things."""
        return answers[record["id"]]

    with opened(database_url, odd) as ledger:
        execution = run(ledger, "odd", 10)
        listed = {int(each.key[0]): each for each in execution.failures()}
        assert {id_: each.reason for id_, each in listed.items()} == {
            1: "unknown_column",
            2: "column_not_writable",
            3: "refused_by_database",
            4: "invalid_value",
            5: "handler_failed",
            6: "refused_by_database",
            7: "refused_by_database",
        }
        assert [listed[n].sqlstate for n in (3, 6, 7)] == ["22P02", "23502", "22001"]
        assert "returned True" in str(listed[5].message)
        assert skipped(execution) == {10: "unchanged"}
        now = rows(connection)
        assert (now[8]["score"], now[9]["country"]) == (80, "IS")
        # Only what was set counts as touched: an edit elsewhere in the row is no conflict.
        connection.execute("UPDATE places SET score = 5 WHERE id = 9")
        assert execution.undo(by="u").run().progress().applied == 2
        check_invariants(connection, ledger=ledger, tables=["places"], touched=["9"])


@pytest.mark.usefixtures("places")
def test_an_undo_brings_back_what_it_changed_and_no_more(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    before = rows_now(connection, "places")
    execution = run(ledger, "rename")
    connection.execute("UPDATE places SET name = 'mine' WHERE id = 3")
    connection.execute("UPDATE places SET note = 'beside it' WHERE id = 4")
    undo = execution.undo(by="u").run()
    assert undo.progress().applied == PLACES - 1
    (conflict,) = undo.conflicts()
    assert (conflict.key, conflict.reason) == (("3",), "changed_since")
    after = rows_now(connection, "places")
    assert {key for key in after if after[key] != before[key]} == {("3",), ("4",)}
    redo = undo.redo(by="u").run()
    assert redo.progress().applied == PLACES - 1
    assert rows(connection)[5]["name"] == "place 5!"


class Odd(BaseModel):
    """A record of a table whose key is odd, as pydantic reads it."""

    id: Decimal
    at: datetime
    tag: str
    seen: datetime | None


def test_odd_keys_and_a_trigger_that_writes_along(
    database_url: str, connection: Connection[DictRow]
) -> None:
    @record_action(model=Odd)
    def touch(record: Odd, _parameters: Parameters) -> Any:
        """Note when they were seen, a day after."""
        return {"seen": record.at + timedelta(days=1)}

    connection.execute(
        "CREATE TABLE odd (id numeric, at timestamptz, tag text[], seen timestamptz, also text,"
        " PRIMARY KEY (id, at, tag))"
    )
    connection.execute(
        "INSERT INTO odd SELECT i + 0.50, '2024-02-29 12:00+00'::timestamptz + i * interval '1 day',"
        " ARRAY['a,\"b', i::text] FROM generate_series(1, 600) i"
    )
    connection.execute(
        "CREATE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE odd SET also = 'written along' WHERE id = new.id AND also IS NULL; RETURN new; END $$"
    )
    connection.execute(
        "CREATE TRIGGER along AFTER UPDATE OF seen ON odd FOR EACH ROW EXECUTE FUNCTION along()"
    )
    before = rows_now(connection, "odd")
    with opened(database_url, touch) as ledger:
        execution = ledger.on("odd").all().apply("touch").by("u").run()
        assert execution.progress().applied == 600
        (row,) = connection.execute("SELECT seen - at AS later, also FROM odd WHERE id = 1.5")
        assert (row["later"], row["also"]) == (timedelta(days=1), "written along")
        check_invariants(connection, ledger=ledger, tables=["odd"])
        undo = execution.undo(by="u").run()
        assert undo.progress().applied == 600
        after = rows_now(connection, "odd")
        assert [row["seen"] for row in after.values()] == [row["seen"] for row in before.values()]
        check_invariants(connection, ledger=ledger, tables=["odd"])


@pytest.mark.usefixtures("places")
def test_a_model_reads_the_record(ledger: Ledger, connection: Connection[DictRow]) -> None:
    connection.execute("UPDATE places SET score = 0 WHERE id = 3")
    execution = run(ledger, "double", 5)
    assert execution.progress().applied == 4
    assert skipped(execution) == {3: "unchanged"}
    assert [rows(connection)[n]["score"] for n in range(1, 6)] == [2, 4, 0, 8, 10]


def test_a_column_that_is_not_there_is_refused_at_once(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    connection.execute("CREATE TABLE bare (id int PRIMARY KEY, name text)")
    with pytest.raises(UnknownColumn) as raised:
        ledger.on("bare").all().apply("double").by("u").run()
    assert raised.value.column == "score"


@pytest.mark.usefixtures("places")
def test_a_preview_counts_and_calls_for_nothing(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    found = ledger.on("places").all().apply("rename", bad=1).by("u").preview()
    assert (found.count, found.batches) == (PLACES, 3)
    assert rows(connection)[1]["name"] == "place 1"
