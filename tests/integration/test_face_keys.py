"""Choosing records by key: from any iterable, of any key type, of any length."""

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import RequestExecution, col
from action_ledger.domain.errors import InvalidValue, SelectionMissing
from action_ledger.domain.selection import Keys
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.projections.sql_blocks import trusted
from tests.dump import dump_ledger
from tests.integration.conftest import PLACES


def run(ledger: Ledger, table: str, keys: Iterable[object], size: int = 1000) -> ExecutionHandle:
    return ledger.on(table).keys(keys).update(note="x").batch_size(size).by("a").run()


def counts(execution: ExecutionHandle) -> tuple[int, int, int, int]:
    progress = execution.progress()
    return progress.total, progress.applied, progress.skipped, progress.batches


def test_any_iterable(ledger: Ledger, places: str) -> None:
    def generated() -> Iterator[int]:
        yield from range(1, 11)

    given: list[Iterable[object]] = [
        list(range(1, 11)),
        tuple(range(1, 11)),
        set(range(1, 11)),
        frozenset(range(1, 11)),
        range(1, 11),
        generated(),
        iter(range(1, 11)),
        dict.fromkeys(range(1, 11)),
        map(str, range(1, 11)),
        [str(key) for key in range(1, 11)],
    ]
    for keys in given:
        assert counts(run(ledger, places, keys, 4)) == (10, 10, 0, 3), keys


def test_doubles_count_once_and_missing_keys_are_skipped(ledger: Ledger, places: str) -> None:
    keys = [5, "5", 6, 5, PLACES + 1, 0, -1, 6]
    for given in (keys, iter(keys)):
        execution = run(ledger, places, given)
        assert counts(execution) == (5, 2, 3, 1)
        skipped = {(outcome.key, outcome.reason) for outcome in execution.skipped()}
        assert skipped == {((str(key),), "vanished") for key in (PLACES + 1, 0, -1)}


def test_no_keys_select_nothing(ledger: Ledger, places: str) -> None:
    nothing: list[Iterable[int]] = [[], (), set(), iter([]), range(0)]
    for keys in nothing:
        asked = ledger.on(places).keys(keys).delete(hard=True).by("a")
        assert asked.preview().count == 0
        if keys is not nothing[3]:
            for execution in (asked.run(), asked.submit()):
                assert execution.status == "completed"
                assert counts(execution) == (0, 0, 0, 0)


def test_many_keys_are_streamed(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    connection.execute(
        "INSERT INTO places (id, name, country, score)"
        " SELECT i, 'x', 'FR', i FROM generate_series(1001, 31000) i"
    )
    wanted = ledger.on(places).keys(range(1001, 31_001)).update(note="x").by("a")
    assert wanted.command().selection == Keys(keys=None)
    assert wanted.preview(3).count == 30_000
    assert counts(wanted.batch_size(7_000).run()) == (30_000, 30_000, 0, 5)
    assert counts(wanted.submit()) == (30_000, 0, 0, 3), "a range can be read as often as one likes"


def test_an_iterator_is_read_once(ledger: Ledger, places: str) -> None:
    asked = ledger.on(places).keys(iter([1, 2, 3])).update(note="x").by("a")
    assert asked.preview().count == 3
    with pytest.raises(InvalidValue, match="give them again"):
        asked.run()


def test_a_command_that_waits_for_keys_is_not_taken_for_one_without(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    streamed = ledger.on(places).keys(range(1, 4)).update(note="x").by("a").command()
    before = dump_ledger(connection)
    with pytest.raises(SelectionMissing):
        ledger.handle(streamed)
    assert dump_ledger(connection) == before
    again = RequestExecution.model_validate_json(streamed.model_dump_json())
    execution = ledger.execution(ledger.handle(again, now=True, keys=[1, 2, 3]))
    assert counts(execution) == (3, 3, 0, 1)


FORMS: tuple[Callable[[Any], Any], ...] = (list, iter)
"""In the command, and streamed beside it."""
UUIDS = [UUID(int=n) for n in (1, 2, 3)]


KEYED: dict[str, tuple[str, list[Any]]] = {
    "k int": ("(1), (2), (3)", [1, 2]),
    "k smallint": ("(1), (2), (3)", [1, 2]),
    "k uuid": (
        ", ".join(f"('{key}')" for key in UUIDS),
        [UUIDS[0], str(UUIDS[2]).upper()],
    ),
    "k text": ("('a'), ('b,\"{}\\'), (' c ')", ['b,"{}\\', " c "]),
    'k text COLLATE "C"': ("('a'), ('B'), ('c')", ["B", "a"]),
    "k varchar(3)": ("('abc'), ('d'), ('')", ["", "abc"]),
    "k numeric": ("(1.10), (2), ('NaN')", ["1.1", float("nan")]),
    "k date": ("('2020-01-01'), ('infinity'), ('0044-03-15 BC')", ["infinity", "2020-01-01"]),
    "k bytea": ("('\\x00'), ('\\xff'), ('')", [b"\x00", b""]),
    "k boolean": ("(true), (false)", [True, False]),
    "k inet": ("('10.0.0.1'), ('::1')", ["10.0.0.1", "::1"]),
    "k int[]": ("('{1,2}'), ('{}'), ('{NULL}')", [[1, 2], []]),
}


def test_key_types(
    ledger: Ledger, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    for n, (definition, (rows, keys)) in enumerate(KEYED.items()):
        table = f"keyed_{n}"
        connection.execute(trusted(f"CREATE TABLE {table} ({definition} PRIMARY KEY, note text)"))
        connection.execute(trusted(f"INSERT INTO {table} (k) VALUES {rows}"))
        for form in FORMS:
            with subtests.test(definition, form=form.__name__):
                execution = run(ledger, table, form(keys))
                assert counts(execution) == (2, 2, 0, 1), list(execution.skipped())
                assert execution.undo(by="a").keys(keys[:1]).run().progress().applied == 1
                done = [[entry.direction for entry in ledger.history(table, key)] for key in keys]
                assert [each[-2:] for each in done] == [["do", "undo"], ["do"] * len(done[1])]


def test_composite_keys(ledger: Ledger, connection: Connection[DictRow]) -> None:
    connection.execute(
        "CREATE TABLE keyed (note text, tenant text, n int, day date, PRIMARY KEY (tenant, n, day));"
        "INSERT INTO keyed SELECT NULL, t, n, '2020-01-01' FROM unnest(ARRAY['a', 'b,(']) t,"
        " generate_series(1, 5) n"
    )
    keys = [("b,(", 3, "2020-01-01"), ("a", 1, "2020-01-01"), ("a", 9, "2020-01-01")]
    broken: list[list[Any]] = [
        [("a", 1)],
        ["a"],
        [("a", 1, "2020-01-01", 4)],
        [()],
        [("a", None, "2020-01-01")],
        [("a", "x", "2020-01-01")],
    ]
    for form in FORMS:
        execution = run(ledger, "keyed", form(keys), 2)
        assert counts(execution) == (3, 2, 1, 2)
        assert ledger.history("keyed", keys[0])[-1].after == {"note": "x"}
        assert execution.undo(by="a").keys(form(keys[:1])).run().progress().applied == 1
        for wrong in broken:
            with pytest.raises(InvalidValue):
                run(ledger, "keyed", form(wrong))


WRONG = [
    "x",
    "",
    1.5,
    None,
    [1],
    {"a": 1},
    2**70,
    "1; DROP TABLE places",
    "a\0b",
    "\ud800",
    object(),
]


def test_keys_of_a_wrong_type(
    ledger: Ledger, places: str, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    before = dump_ledger(connection)
    for form, wrong in product(FORMS, WRONG):
        with subtests.test(form=form.__name__, wrong=wrong):
            with pytest.raises(InvalidValue) as caught:
                run(ledger, places, form([1, wrong]))
            assert caught.value.detail
            with pytest.raises(InvalidValue):
                ledger.on(places).keys(form([1, wrong])).update(note="x").by("a").preview()
            with pytest.raises(InvalidValue):
                ledger.history(places, wrong)
    assert dump_ledger(connection) == before


def test_what_is_no_list_of_keys(ledger: Ledger, places: str) -> None:
    wrong: list[Any] = ["123", b"12", 5, None, col("id"), col("id") == 1]
    for keys in wrong:
        with pytest.raises(InvalidValue):
            ledger.on(places).keys(keys)
        with pytest.raises(InvalidValue):
            ledger.execution(uuid4()).undo(by="a").keys(keys)
