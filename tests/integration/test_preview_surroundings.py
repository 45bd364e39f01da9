"""What a preview tells of its surroundings: rows that go along, locks in the way, sequences, effects."""

import time
from pathlib import Path

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.actions import Parameters
from action_ledger.domain.effects import Effect
from action_ledger.domain.errors import InvalidValue, PreviewBlocked
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.workers.previewed import Note
from tests.dump import dump_table
from tests.integration.conftest import PLACES
from tests.previews import dump_but_previews, made


@pytest.fixture
def visits(places: str, connection: Connection[DictRow]) -> None:
    """Each place has two visits, each visit a photo; a place's guide loses its place only."""
    assert places == "public.places"
    connection.execute(
        "CREATE TABLE visits (id int PRIMARY KEY, place bigint REFERENCES places ON DELETE CASCADE);"
        "CREATE TABLE photos (id serial, visit int REFERENCES visits ON DELETE CASCADE);"
        "CREATE TABLE guides (id int, place bigint REFERENCES places ON DELETE SET NULL);"
        "INSERT INTO visits SELECT i, 1 + i / 2 FROM generate_series(0, 199) i;"
        "INSERT INTO photos (visit) SELECT id FROM visits;"
        "INSERT INTO guides SELECT i, i FROM generate_series(1, 10) i"
    )


@pytest.mark.every_postgres
@pytest.mark.usefixtures("visits")
def test_rows_that_foreign_keys_take_along(ledger: Ledger, connection: Connection[DictRow]) -> None:
    tables = ("places", "visits", "photos", "guides")
    before = [dump_table(connection, table) for table in tables]
    request = ledger.on("places").keys(list(range(5, 25))).delete(hard=True).irreversible().by("a")
    preview = request.preview()
    assert [dump_table(connection, table) for table in tables] == before
    along = {one.table: (one.inserted, one.updated, one.deleted) for one in preview.along or ()}
    assert along == {
        "public.visits": (0, 0, 40),
        "public.photos": (0, 0, 40),
        "public.guides": (0, 6, 0),
    }
    assert Note.SEQUENCES in preview.notes
    request.run()
    after = [dump_table(connection, table) for table in tables]
    assert [len(b) - len(a) for a, b in zip(after, before, strict=True)] == [20, 40, 40, 0]


RULES = {
    "CASCADE": (0, 0, 6),
    "SET NULL": (0, 6, 0),
    "SET DEFAULT": (0, 6, 0),
}


@pytest.mark.every_postgres
@pytest.mark.parametrize("rule", RULES)
def test_an_example_is_a_record_of_the_table_whatever_goes_along(
    ledger: Ledger, connection: Connection[DictRow], rule: str
) -> None:
    """Rows of other tables lie beside the records in the change sets, and are not of the same columns."""
    connection.execute(
        "CREATE TABLE homes (id int PRIMARY KEY, name text, note text);"
        "CREATE TABLE people (name text PRIMARY KEY,"
        f" home int DEFAULT 9 REFERENCES homes ON DELETE {rule});"
        "INSERT INTO homes SELECT i, 'home ' || i FROM generate_series(1, 9) i;"
        "INSERT INTO people SELECT 'person ' || i, 1 + i % 3 FROM generate_series(1, 9) i"
    )
    request = ledger.on("homes").keys([1, 2]).delete(hard=True).by("a").batch_size(1)
    preview = request.preview(10)
    assert [(one.key, one.before, one.after) for one in preview.changes] == [
        ((str(n),), {"id": str(n), "name": f"home {n}", "note": None}, None) for n in (1, 2)
    ]
    along = {one.table: (one.inserted, one.updated, one.deleted) for one in preview.along or ()}
    assert along == {"public.people": RULES[rule]}
    undo = request.run().undo(by="a").preview(10)
    assert [(one.key, one.before) for one in undo.changes] == [(("1",), None), (("2",), None)]
    assert sum(tally.applied for tally in undo.children.values()) == 6


@pytest.mark.usefixtures("visits")
def test_of_a_preview_before_nothing_is_told(database_url: str) -> None:
    """The server's counts are the session's: those of earlier transactions may not be passed on yet."""
    settings = Settings.model_validate({"pool_max_size": 1})
    with open_ledger(database_url, settings=settings) as ledger:
        target = ledger.on("places").keys([5])
        found = [
            [(one.table, one.deleted) for one in preview.along or ()]
            for _ in range(3)
            for preview in (
                target.delete(hard=True).irreversible().by("a").preview(),
                target.update(note="x").by("a").preview(),
            )
        ]
    with_visits = [("public.guides", 0), ("public.photos", 2), ("public.visits", 2)]
    assert [sorted(one) for one in found] == [with_visits, []] * 3


def test_rows_of_the_table_itself_that_go_along(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    connection.execute(
        "CREATE TABLE tree (id int PRIMARY KEY, above int REFERENCES tree ON DELETE CASCADE);"
        "INSERT INTO tree SELECT i, nullif(i / 2, 0) FROM generate_series(1, 31) i"
    )
    preview = ledger.on("tree").keys([2]).delete(hard=True).irreversible().by("a").preview()
    assert [(one.table, one.deleted) for one in preview.along or ()] == [("public.tree", 14)]
    assert len(dump_table(connection, "tree")) == 31


def test_sequences_advance_and_it_is_said(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    connection.execute(
        "CREATE SEQUENCE seen; CREATE FUNCTION count_it() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM nextval('seen'); RETURN new; END $$;"
        "CREATE TRIGGER count_it BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION count_it()"
    )
    before = dump_but_previews(connection), dump_table(connection, places)
    preview = ledger.on(places).keys([1, 2, 3]).update(note="x").by("a").preview()
    assert (dump_but_previews(connection), dump_table(connection, places)) == before
    assert Note.SEQUENCES in preview.notes
    (row,) = connection.execute("SELECT last_value FROM seen").fetchall()
    assert row["last_value"] == 3


def test_it_waits_for_nobody_for_long_and_says_who_holds_records(
    database_url: str, places: str, connection: Connection[DictRow]
) -> None:
    settings = Settings.model_validate({"preview_lock_timeout_ms": 300})
    with (
        open_ledger(database_url, settings=settings) as ledger,
        Connection.connect(database_url, application_name="somebody") as other,
    ):
        other.execute("UPDATE places SET note = 'mine' WHERE id IN (3, 4, 60)")
        started = time.monotonic()
        request = ledger.on(places).all().delete(hard=True).by("a").batch_size(50)
        preview = request.preview(3)
        assert time.monotonic() - started < 3
        assert (preview.count, preview.tried, preview.exact) == (PLACES, 0, False)
        assert preview.held is not None
        assert preview.held.records == 3
        assert [h.application for h in preview.held.holders] == ["somebody"]
        assert preview.held.holders[0].pid == other.info.backend_pid
        assert preview.notes == (Note.HELD,)
        assert (preview.expected_seconds, len(preview.sample)) == (None, 3)
        other.rollback()
        assert request.preview().plan_hash == preview.plan_hash
    assert [event["exact"] for event in made(connection)] == [False, True]


def test_a_table_that_is_locked_whole_is_a_typed_error(
    database_url: str, places: str, connection: Connection[DictRow]
) -> None:
    settings = Settings.model_validate({"preview_lock_timeout_ms": 200})
    with open_ledger(database_url, settings=settings) as ledger, connection.transaction():
        connection.execute("LOCK TABLE places IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(PreviewBlocked) as caught:
            ledger.on(places).all().update(note="x").by("a").preview()
    assert caught.value.table == places
    assert made(connection) == []


def test_of_an_effect_the_handler_is_not_called(
    database_url: str, places: str, tmp_path: Path, connection: Connection[DictRow]
) -> None:
    class Nothing(Parameters):
        pass

    called = tmp_path / "called"
    effect = Effect(
        name="tell",
        parameters=Nothing,
        label="Tell",
        description="Tell somebody.",
        destructive=False,
        handler=lambda *_: called.write_text("yes"),
        columns=("name",),
    )
    with open_ledger(database_url, actions=[effect]) as ledger:
        request = ledger.on(places).keys([1, 2, 900]).apply("tell").by("a")
        preview = request.preview()
        assert (preview.count, preview.tried, preview.exact) == (3, 0, False)
        assert preview.notes == (Note.EFFECT,)
        assert [record["id"] for record in preview.sample] == ["1", "2"]
        assert (preview.undo_seconds, preview.expected_seconds) == (None, None)
        assert not called.exists()
        execution = request.confirm(preview.token).run()
        assert execution.progress().applied == 2
        assert called.exists()
    assert made(connection)[0]["tried"] == 0


def test_numbers_below_0_are_refused(ledger: Ledger, places: str) -> None:
    request = ledger.on(places).all().update(note="x").by("a")
    for wrong in ({"sample": -1}, {"records": -1}):
        with pytest.raises(InvalidValue):
            request.preview(**wrong)
