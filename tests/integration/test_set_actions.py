"""Set actions from end to end: what an update has, with assignments that the host's function gave once."""

from collections.abc import Generator
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import (
    Changes,
    Parameters,
    TableShape,
    col,
    set_action,
)
from action_ledger.domain.errors import (
    ActionLedgerError,
    ColumnNotWritable,
    InvalidExpression,
    InvalidParameters,
    InvalidValue,
    UnknownAction,
    UnknownColumn,
)
from action_ledger.ops import Ledger, open_ledger
from tests.dump import assert_at_rest
from tests.images import rows_now
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.shop import ACTIONS


class Nothing(Parameters):
    """Says what to return."""

    what: int


ANSWERS: dict[int, Any] = {
    1: {},
    2: None,
    3: {"nonesuch": 1},
    4: {"score": "many"},
    5: {"score": object()},
    6: {"score": col("name") + 1},
    7: Changes({"score": 1}, where=col("nonesuch") == 1),
    8: Changes({"score": 1}, where=True),  # type: ignore[arg-type]
    9: {"twice": 1},
}


@set_action
def odd(parameters: Nothing) -> Any:
    """Return all kinds of things."""
    if parameters.what == 0:
        message = "no idea"
        raise KeyError(message)
    return ANSWERS[parameters.what]


@set_action
def note_types(_parameters: Parameters, table: TableShape) -> Any:
    """Note what the table looks like."""
    return {"note": f"{table.name} {table.key} {table.columns['name']}"}


@pytest.fixture
def ledger(database_url: str) -> Generator[Ledger]:
    with open_ledger(database_url, actions=(*ACTIONS, odd, note_types)) as opened:
        yield opened
        assert_at_rest(opened)


def test_it_is_done_as_an_update_is(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    before = rows_now(connection, "places")
    request = ledger.on(places).where(col("id") <= 50).apply("promote", bonus=5, country="FR")
    preview = request.by("u").preview()
    assert (preview.count, preview.batches) == (25, 1)  # the function's own condition counts
    execution = request.by("u").batch_size(10).run()
    assert execution.progress().applied == 25
    changed = connection.execute("SELECT * FROM places WHERE note = 'promoted'").fetchall()
    assert {row["id"] for row in changed} == set(range(2, 51, 2))
    assert all(row["score"] == row["id"] + 5 for row in changed)
    check_invariants(connection, ledger=ledger, tables=["places"])
    connection.execute("UPDATE places SET score = 0 WHERE id = 2")
    undo = execution.undo(by="u").run()
    assert [conflict.key for conflict in undo.conflicts()] == [("2",)]
    after = rows_now(connection, "places")
    assert {key for key in after if after[key] != before[key]} == {("2",)}


@pytest.mark.usefixtures("places")
def test_a_record_that_no_longer_meets_the_functions_condition_is_skipped(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    execution = ledger.on("places").all().apply("promote", bonus=1, country="FR").by("u").submit()
    ledger.worker().step(execution.id)
    connection.execute("UPDATE places SET country = 'DE' WHERE id = 2")
    execution.finish()
    (skipped,) = execution.skipped()
    assert (skipped.key, skipped.reason) == (("2",), "no_longer_matches")
    assert execution.progress().applied == PLACES // 2 - 1


def test_the_function_is_asked_once_for_an_execution(
    database_url: str, places: str, connection: Connection[DictRow]
) -> None:
    """What it says is kept, so that no batch does another thing: not one of another release either."""
    asked: list[int] = []

    @set_action
    def count(_parameters: Parameters) -> Any:
        """Say another thing each time."""
        asked.append(1)
        return {"score": len(asked) * 1000}

    with open_ledger(database_url, actions=[count]) as ledger:
        execution = ledger.on(places).all().apply("count").by("u").batch_size(30).submit()
        execution.finish()
        assert execution.status == "completed"
        assert len(asked) == 1
        scores = connection.execute("SELECT DISTINCT score FROM places").fetchall()
        assert [row["score"] for row in scores] == [1000]


@pytest.mark.usefixtures("places")
def test_a_function_may_look_at_the_table(ledger: Ledger, connection: Connection[DictRow]) -> None:
    ledger.on("places").keys([1]).apply("note_types").by("u").run()
    (row,) = connection.execute("SELECT note FROM places WHERE id = 1").fetchall()
    assert row["note"] == "public.places ('id',) character varying(40)"


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(
    ("what", "error"),
    [
        (0, InvalidParameters),
        (1, InvalidParameters),
        (2, InvalidParameters),
        (3, UnknownColumn),
        (4, InvalidValue),
        (5, InvalidValue),
        (6, InvalidExpression),
        (7, UnknownColumn),
        (8, InvalidParameters),
        (9, ColumnNotWritable),
    ],
)
def test_what_it_gives_is_checked_before_anything_is_written(
    ledger: Ledger,
    connection: Connection[DictRow],
    what: int,
    error: type[ActionLedgerError],
) -> None:
    connection.execute("ALTER TABLE places ADD twice bigint GENERATED ALWAYS AS (score * 2) STORED")
    with pytest.raises(error):
        ledger.on("places").all().apply("odd", what=what).by("u").run()
    assert ledger.executions() == []


def test_parameters_are_validated(ledger: Ledger, places: str) -> None:
    target = ledger.on(places).all()
    with pytest.raises(InvalidParameters, match="bonus"):
        target.apply("promote", bonus="much")
    with pytest.raises(InvalidParameters, match="bonus: it is missing"):
        target.apply("promote")
    with pytest.raises(InvalidParameters, match="it takes nothing of that name"):
        target.apply("promote", bonus=1, more=2)
    with pytest.raises(UnknownAction, match="promote"):
        target.apply("demote")
