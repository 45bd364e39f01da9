"""Bad input: each mistake is a typed error with a stable code and a helpful message, and nothing is written."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import RequestExecution, Resource, col
from action_ledger.domain.errors import ActionLedgerError
from action_ledger.ops import ExecutionHandle, Ledger
from tests.dump import assert_at_rest, dump_ledger, dump_table, says
from tests.integration.conftest import PLACES

OBJECTS = """
CREATE TABLE unkeyed (id int);
CREATE VIEW a_view AS SELECT * FROM places;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM places;
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
CREATE TABLE secured (id int PRIMARY KEY, note text);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE ruled (id int PRIMARY KEY, note text);
CREATE RULE elsewhere AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CREATE TABLE parent (id int PRIMARY KEY, note text);
CREATE TABLE child () INHERITS (parent);
CREATE SEQUENCE a_sequence;
CREATE INDEX an_index ON places (name);
CREATE TABLE cascaded (id int PRIMARY KEY);
CREATE TABLE cascading (id int REFERENCES cascaded ON DELETE CASCADE);
CREATE TABLE plain (id int PRIMARY KEY, note text, total int GENERATED ALWAYS AS (id * 2) STORED);
"""


@pytest.fixture
def objects(places: str, connection: Connection[DictRow]) -> str:
    connection.execute(OBJECTS)
    return places


@contextmanager
def nothing_written(connection: Connection[DictRow], *tables: str) -> Generator[None]:
    before = dump_ledger(connection), [dump_table(connection, table) for table in tables]
    yield
    assert (dump_ledger(connection), [dump_table(connection, t) for t in tables]) == before


def test_commands(
    ledger: Ledger, objects: str, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    def update(table: str) -> Callable[[], object]:
        return lambda: ledger.on(table).all().update(note="x").by("a").run()

    on = ledger.on(objects)
    some = on.keys([1])

    def command(**changes: object) -> Callable[[], object]:
        asked = on.all().update(note="x").by("a").command()
        return lambda: ledger.handle(asked.model_copy(update=changes))

    wrong: dict[str, tuple[str, Callable[[], object]]] = {
        "no such table": ("unknown_table", update("public.nowhere")),
        "no such schema": ("unknown_table", update("nowhere.places")),
        "no name": ("unknown_table", update(" ")),
        "three parts": ("unknown_table", update("a.b.c")),
        "no primary key": ("no_primary_key", update("unkeyed")),
        "a view": ("unsupported_table", update("a_view")),
        "a materialized view": ("unsupported_table", update("a_matview")),
        "a foreign table": ("unsupported_table", update("far")),
        "a sequence": ("unsupported_table", update("a_sequence")),
        "an index": ("unsupported_table", update("an_index")),
        "row-level security": ("context_required", update("secured")),
        "rewrite rules": ("unsupported_table", update("ruled")),
        "inherited": ("unsupported_table", update("parent")),
        "of the system": ("unsupported_table", update("pg_catalog.pg_class")),
        "of the information schema": ("unsupported_table", update("information_schema.sql_parts")),
        "of the ledger": ("unsupported_table", update("action_ledger.request_bodies")),
        "the ledger's log": ("unsupported_table", update("action_ledger.stored_events")),
        "unknown column": ("unknown_column", on.all().update(noet="x").by("a").run),
        "unknown in where": ("unknown_column", on.where(col("i") == 1).delete().by("a").run),
        "unknown in expression": ("unknown_column", some.update(score=col("sc") + 1).by("a").run),
        "unknown convention": (
            "unknown_column",
            ledger.on(Resource(table=objects, archive="gone")).all().archive().by("a").run,
        ),
        "wrong type": ("invalid_value", some.update(score="many").by("a").run),
        "wrong type in where": ("invalid_value", on.where(col("id") == "x").delete().by("a").run),
        "too long": ("invalid_value", some.update(name="x" * 41).by("a").run),
        "null in not null": ("invalid_value", some.update(name=None).by("a").run),
        "no text": ("invalid_value", lambda: some.update(note=object())),
        "generated": (
            "column_not_writable",
            ledger.on("plain").all().update(total=1).by("a").run,
        ),
        "no operator": (
            "unsupported_comparison",
            on.where(col("score").like("1%")).delete().by("a").run,
        ),
        "unknown action": ("unknown_action", lambda: some.apply("explode")),
        "unknown action in a command": ("unknown_action", command(action="explode")),
        "no values": ("invalid_parameters", some.update),
        "unknown parameter": ("invalid_parameters", lambda: some.apply("delete", soft=True)),
        "wrong parameters in a command": ("invalid_parameters", command(parameters={"x": 1})),
        "no convention": ("invalid_parameters", ledger.on("plain").all().archive().by("a").run),
        "nobody": ("actor_missing", some.update(note="x").run),
        "no name of anybody": ("actor_missing", some.update(note="x").by("").run),
        "a blank name": ("actor_missing", some.update(note="x").by(" \t ").run),
        "None for a name": ("actor_missing", some.update(note="x").by(None).run),  # type: ignore[arg-type]
        "a name of another type": (
            "invalid_parameters",
            some.update(note="x").by(42).run,  # type: ignore[arg-type]
        ),
        "no selection": ("selection_missing", on.update(note="x").by("a").run),
        "batches of none": ("invalid_parameters", some.update(note="x").by("a").batch_size(0).run),
        "a cascade": (
            "irreversible_cascade",
            ledger.on("cascaded").all().delete(hard=True).by("a").run,
        ),
    }
    for name, (code, mistake) in wrong.items():
        with subtests.test(name), nothing_written(connection, objects):
            with pytest.raises(ActionLedgerError) as caught:
                mistake()
            assert says(caught.value) == code
    assert_at_rest(ledger)


def test_undos(
    ledger: Ledger, places: str, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    def updated() -> ExecutionHandle:
        asked = ledger.on(places).all().update(score=col("score") + 1).by("a").batch_size(60)
        return asked.run()

    nothing = ledger.on(places).where(col("id") < 0).update(note="x").by("a").run()
    irreversible = ledger.on(places).keys([1]).update(note="x").irreversible().by("a").run()
    late, undone, half, conflicting, kept = (updated() for _ in range(5))
    undone.undo(by="a").on_conflict("force").run()
    kept.undo(by="a").keys([5]).on_conflict("force").run()
    half.undo(by="a").keys([1]).on_conflict("force").submit()
    unplanned = ledger.on(places).all().update(note="x").by("a").submit()
    planned = ledger.on(places).keys([PLACES]).update(note="x").by("a").submit()
    connection.execute(
        "UPDATE action_ledger.view_executions_g1 SET ended_at = ended_at - interval '8 days'"
        " WHERE execution_id = %s",
        [late.id],
    )
    wrong: dict[str, tuple[str, Callable[[], object]]] = {
        "of nothing": ("execution_not_found", ledger.execution(uuid4()).undo(by="a").run),
        "by nobody": ("actor_missing", late.undo().run),
        "by a blank": ("actor_missing", late.undo(by="  ").run),
        "late": ("undo_expired", late.undo(by="a").run),
        "twice": ("already_undone", undone.undo(by="a").run),
        "of what another is at": ("undo_in_progress", half.undo(by="a").run),
        "before planning": ("execution_not_ended", unplanned.undo(by="a").run),
        "before the end": ("execution_not_ended", planned.undo(by="a").run),
        "of the irreversible": ("not_reversible", irreversible.undo(by="a").run),
        "of what changed nothing": ("nothing_to_undo", nothing.undo(by="a").run),
        "of batches there are not": ("nothing_to_undo", kept.undo(by="a").batches([7]).run),
        "of no batches": ("nothing_to_undo", kept.undo(by="a").batches([]).run),
        "of no keys": ("nothing_to_undo", kept.undo(by="a").keys([]).run),
        "of keys it never had": ("nothing_to_undo", kept.undo(by="a").keys([PLACES + 1]).run),
        "of a key that is undone": ("already_undone", kept.undo(by="a").keys([5]).run),
        "of keys that are none": ("invalid_value", kept.undo(by="a").keys(["x"]).run),
        "the other way while it is at work": (
            "undo_in_progress",
            half.undos()[0].redo(by="a").run,
        ),
        "with conflicts": (
            "undo_conflicts",
            conflicting.undo(by="a").on_conflict("fail").run,
        ),
        "with no such policy": ("invalid_parameters", kept.undo(by="a").on_conflict("ask").run),
        "with batches that are no numbers": (
            "invalid_parameters",
            kept.undo(by="a").batches(["x"]).run,  # type: ignore[list-item]
        ),
    }
    for name, (code, mistake) in wrong.items():
        with subtests.test(name), nothing_written(connection, places):
            with pytest.raises(ActionLedgerError) as caught:
                mistake()
            assert says(caught.value) == code


def test_what_restricts_a_delete_fails_record_by_record(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    connection.execute(
        "CREATE TABLE visits (place bigint REFERENCES places ON DELETE RESTRICT);"
        "INSERT INTO visits VALUES (3), (5)"
    )
    execution = ledger.on(places).keys(range(1, 9)).delete(hard=True).by("a").run()
    progress = execution.progress()
    assert (execution.status, progress.applied, progress.failed) == ("completed", 6, 2)
    failures = list(execution.failures())
    assert [(each.key, each.sqlstate, each.constraint) for each in failures] == [
        (
            ("3",),
            "23001" if connection.info.server_version >= 180_000 else "23503",
            "visits_place_fkey",
        ),
        (
            ("5",),
            "23001" if connection.info.server_version >= 180_000 else "23503",
            "visits_place_fkey",
        ),
    ]
    assert all(each.message for each in failures)


def test_json_that_never_went_through_the_chain(
    ledger: Ledger, places: str, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    asked = ledger.on(places).where(col("name") == "x").update(note="x").by("a").command()
    fields = asked.model_dump(mode="json")
    wrong: dict[str, dict[str, Any]] = {
        "value": {"selection": {"kind": "where", "predicate": {"kind": "comparison", "column": "name", "op": "eq", "value": "a\0b"}}},
        "column": {"selection": {"kind": "where", "predicate": {"kind": "null_check", "column": "a\0b"}}},
        "key": {"selection": {"kind": "keys", "keys": ["a\0b"]}},
        "parameter": {"parameters": {"values": {"note": "a\0b"}}},
        "parameter's name": {"parameters": {"values": {"a\0b": "x"}}},
        "table": {"resource": {"table": "a\0b"}},
        "convention": {"resource": {"table": places, "archive": "a\0b"}, "action": "archive", "parameters": {}},
        "reason": {"action": "archive", "parameters": {"reason": "a\0b"}},
        "infinite": {"parameters": {"values": {"score": {"kind": "json", "text": "NaN"}}}},
    }  # fmt: skip
    for name, changes in wrong.items():
        with subtests.test(name), nothing_written(connection, places):
            command = RequestExecution.model_validate(fields | changes)
            with pytest.raises(ActionLedgerError) as caught:
                ledger.handle(command, now=True)
            assert says(caught.value)
