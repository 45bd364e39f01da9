"""A run that was previewed comes to the numbers of its preview, whatever it does to whichever records."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.handles import ExecutionHandle
from action_ledger.workers.previewed import Note, Preview
from tests.dump import dump_table
from tests.integration.conftest import PLACES
from tests.previews import dump_but_previews, made

Chain = Callable[[Ledger], Request]
SOME = (col("country") == "FR") | (col("id") < 10)
ACTIONS: dict[str, Chain] = {
    "update": lambda ledger: ledger.on("places").where(SOME).update(score=col("score") - 5),
    "update of all": lambda ledger: ledger.on("places").all().update(note="x"),
    "soft delete": lambda ledger: ledger.on("places").where(SOME).delete(),
    "hard delete": lambda ledger: ledger.on("places").where(SOME).delete(hard=True),
    "restore": lambda ledger: ledger.on("places").all().restore(),
    "archive": lambda ledger: ledger.on("places").keys([1, 2, 3, 50, 900]).archive("old"),
    "keys moved": lambda ledger: ledger.on("places").all().update(id=col("id") + 1),
    "frozen": lambda ledger: ledger.on("places").where(SOME).update(note="y").frozen(),
}


@pytest.fixture
def hard_table(places: str, connection: Connection[DictRow]) -> None:
    """Some records fail (a check, a trigger that raises), some are kept by a trigger, some are marked already."""
    assert places == "public.places"
    connection.execute(
        "ALTER TABLE places ADD CONSTRAINT high CHECK (score >= 0), ADD CONSTRAINT short CHECK (id <> 31 OR note IS NULL);"
        "UPDATE places SET deleted_at = now() WHERE id % 4 = 0;"
        "CREATE FUNCTION mind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF old.id = 14 THEN RETURN NULL; END IF;"
        " IF old.id = 22 THEN RAISE 'not %', old.name USING ERRCODE = 'P0042'; END IF;"
        " IF TG_OP = 'DELETE' THEN RETURN old; END IF; RETURN new; END $$;"
        "CREATE TRIGGER mind BEFORE UPDATE OR DELETE ON places FOR EACH ROW EXECUTE FUNCTION mind();"
    )


def numbers(execution: ExecutionHandle) -> tuple[Any, ...]:
    progress = execution.progress()
    skipped = [one.reason for one in execution.skipped()]
    return (
        (progress.total, progress.applied, progress.failed, progress.skipped),
        {reason: skipped.count(reason) for reason in set(skipped)},
        {(one.key, one.sqlstate, one.constraint, one.message) for one in execution.failures()},
    )


def foretold(preview: Preview) -> tuple[Any, ...]:
    tally = preview.tally
    return (
        (preview.count, tally.applied, tally.failed, tally.skipped),
        preview.skipped,
        {(one.key, one.sqlstate, one.constraint, one.message) for one in preview.failures},
    )


def timeless(image: dict[str, str | None] | None) -> dict[str, str | None] | None:
    """Leave out when a record was marked."""
    today = f"{datetime.now(UTC):%Y-%m-}"
    return image and {
        name: "now" if text and text.startswith(today) else text for name, text in image.items()
    }


@pytest.mark.every_postgres
@pytest.mark.usefixtures("hard_table")
@pytest.mark.parametrize("name", ACTIONS)
def test_a_run_comes_to_the_numbers_of_its_preview(
    ledger: Ledger, connection: Connection[DictRow], name: str
) -> None:
    request = ACTIONS[name](ledger).by("user:1")
    before = dump_but_previews(connection), dump_table(connection, "places")
    preview = request.preview(PLACES)
    assert (dump_but_previews(connection), dump_table(connection, "places")) == before
    assert preview.exact
    assert preview.tried == preview.count
    # In batches of another size: the plan is the same.
    execution = request.batch_size(7).confirm(preview.token).run()
    assert numbers(execution) == foretold(preview)
    told = [(one["key"], one["before"], timeless(one["after"])) for one in execution.changes()]
    assert sorted(told) == sorted((d.key, d.before, timeless(d.after)) for d in preview.changes)
    assert preview.tally.failed or name in {"restore", "archive", "soft delete"}
    assert preview.tally.applied


@pytest.mark.usefixtures("hard_table")
def test_what_is_recorded_of_it(ledger: Ledger, connection: Connection[DictRow]) -> None:
    request = ACTIONS["hard delete"](ledger).by("user:1", reason="secret")
    preview = request.preview()
    (event,) = made(connection)
    assert (event["id"], event["metadata"]["actor"]) == (preview.id, "user:1")
    assert (event["records"], event["tried"], event["exact"]) == (
        preview.count,
        preview.count,
        True,
    )
    assert event["tally"] == preview.tally.model_dump()
    assert event["skipped"] == preview.skipped == {"trigger": 1}
    assert event["sqlstates"] == preview.sqlstates == {"P0042": 1}
    assert (event["plan_hash"], event["change_bytes"]) == (preview.plan_hash, preview.change_bytes)
    assert "secret" not in str(event)
    (entry,) = ledger.audit(execution_id=preview.id)
    assert (entry.topic, entry.actor) == ("preview.made", "user:1")
    (failure,) = preview.failures
    assert (failure.key, failure.sqlstate, failure.message) == (("22",), "P0042", "not place 22")
    assert preview.notes == (Note.SEQUENCES,)


def test_differences_are_postgresqls_pinned_text(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    connection.execute("ALTER TABLE places ADD at timestamptz DEFAULT '2026-03-01 12:00+02'")
    connection.execute(
        "ALTER DATABASE CURRENT_DATABASE SET DateStyle TO 'SQL, DMY'".replace(
            "CURRENT_DATABASE", f'"{connection.info.dbname}"'
        ).encode()
    )
    preview = (
        ledger.on(places).keys([2, 7]).update(at="2027-01-02 03:04", note="n").by("a").preview()
    )
    assert [change.model_dump() for change in preview.changes] == [
        {
            "key": (key,),
            "before": {"at": "2026-03-01 10:00:00+00", "note": None},
            "after": {"at": "2027-01-02 03:04:00+00", "note": "n"},
        }
        for key in ("2", "7")
    ]


def test_the_size_and_the_time_are_about_those_of_the_run(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    connection.execute(
        "INSERT INTO places (id, name, country, score)"
        " SELECT i, 'place ' || i, 'DE', i FROM generate_series(1001, 21000) i"
    )
    request = ledger.on(places).all().update(name="another").by("a").batch_size(1_000)
    part = request.preview(records=2_000)
    assert (part.count, part.tried, part.exact) == (20_100, 2_000, False)
    assert part.notes == (Note.SAMPLE,)
    assert part.tally.applied == 2_000
    whole = request.preview(records=30_000)
    assert (whole.tried, whole.exact, whole.notes) == (20_100, True, ())
    assert whole.expected_seconds is not None
    assert part.expected_seconds is not None
    request.run()
    (row,) = connection.execute(
        "SELECT sum(pg_column_size(keys) + pg_column_size(before) + pg_column_size(after)) AS bytes"
        " FROM action_ledger.change_sets"
    ).fetchall()
    assert whole.change_bytes == row["bytes"]
    assert part.change_bytes == pytest.approx(row["bytes"], rel=0.1)
    assert part.plan_hash == whole.plan_hash


def test_a_sample_comes_from_all_over_the_plan(ledger: Ledger, places: str) -> None:
    preview = (
        ledger.on(places).all().update(note="x").by("a").batch_size(10).preview(100, records=20)
    )
    assert (preview.tried, preview.batches) == (20, 10)
    assert [change.key[0] for change in preview.changes] == [
        str(n) for start in range(1, 100, 10) for n in (start, start + 1)
    ]
    small = ledger.on(places).all().update(note="x").by("a").batch_size(2).preview(100, records=20)
    assert [int(change.key[0]) for change in small.changes] == [
        2 * (n * 50 // 20) + 1 for n in range(20)
    ]
    nothing = ledger.on(places).all().update(note="x").by("a").preview(records=0)
    assert (nothing.tried, nothing.exact, nothing.changes) == (0, False, ())


def test_keys_are_moved_whole_or_not_at_all(ledger: Ledger, places: str) -> None:
    request = ledger.on(places).all().update(id=col("id") + 1).by("a")
    preview = request.preview(records=PLACES - 1)
    assert (preview.tried, preview.exact, preview.notes) == (0, False, (Note.KEYS,))
    assert request.preview(records=PLACES).tally.applied == PLACES


@pytest.mark.usefixtures("hard_table")
def test_a_policy_for_failures_that_would_stop_it_is_foreseen(ledger: Ledger) -> None:
    request = ledger.on("places").all().update(score=col("score") - 5).by("a").batch_size(10)
    stopping = request.on_failure("stop", max_failures=3)
    preview = stopping.preview()
    assert (preview.stopped, Note.STOPS in preview.notes) == (True, True)
    execution = stopping.run()
    progress = execution.progress()
    assert execution.status == "failed"
    assert (progress.applied, progress.failed) == (preview.tally.applied, preview.tally.failed)
    assert not request.on_failure("stop", max_failures=50).preview().stopped


def test_whether_it_can_be_undone(ledger: Ledger, places: str) -> None:
    request = ledger.on(places).all().update(note="x").by("a")
    assert request.preview().undo_seconds == 7 * 86_400
    two = request.undoable(days=2).preview()
    assert two.undo_until is not None
    assert (two.undo_until - two.expires_at).total_seconds() == pytest.approx(
        2 * 86_400 - 900, abs=5
    )
    never = request.irreversible().preview()
    assert (never.undo_seconds, never.undo_until) == (None, None)
