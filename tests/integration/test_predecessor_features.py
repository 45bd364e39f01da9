"""Every feature that the predecessor offers, up to exports: one test for each row of its list, through the public face."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import (
    Actor,
    Changes,
    Notice,
    Parameters,
    RequestExecution,
    col,
    effect,
    record_action,
    set_action,
)
from action_ledger.domain.commands import Command
from action_ledger.domain.errors import (
    AlreadyUndone,
    ConfirmationRequired,
    InvalidParameters,
    LimitReached,
    NotAuthorized,
    RecordsLocked,
    TimeTooFar,
    TooManyRecords,
    UndoExpired,
)
from action_ledger.domain.policy import Phase
from action_ledger.ops import Ledger, Plan, Settings, open_ledger
from tests.dump import dump_table
from tests.invariants import check_invariants

LONG = 600


def scores(connection: Connection[DictRow]) -> dict[int, int]:
    rows = connection.execute("SELECT id, score FROM places ORDER BY id")
    return {row["id"]: row["score"] for row in rows}


def test_commands(database_url: str, connection: Connection[DictRow], places: str) -> None:
    """A fluent call: every kind of filter, ids, batch size, now or queued, callbacks, own authorization, a chain."""
    told: list[tuple[str, str]] = []

    def told_of(notice: Notice) -> None:
        told.append((notice.event, notice.status))

    def authorize(actor: Actor, command: Command, phase: Phase) -> bool:
        del command, phase
        return actor.subject != "user:0"

    hooks = {"tell": told_of}
    with open_ledger(database_url, hooks=hooks, authorize=authorize) as ledger:
        on = ledger.on(places)
        n = col("id")
        for predicate, found in (
            (n == 7, 1),
            ((n != 7) & (n < 10), 8),
            (n.in_([1, 2, 999]), 2),
            (n.not_in(range(3, 101)), 2),
            (n.between(5, 8), 4),
            (col("name").like("place 10%"), 2),
            (col("note").is_null(), 100),
            (col("note").is_not_null(), 0),
            ((n > 90) & ((col("country") == "FR") | ~(n > 95)), 8),
        ):
            assert on.where(predicate).update(name="x").by("a").preview().count == found
        with pytest.raises(NotAuthorized):
            on.keys([1]).archive("old").by("user:0").run()
        first = on.keys([1, 2, 3]).archive("old").by("user:1", reason="a ticket").batch_size(2)
        now = first.notify(progress="tell", complete="tell").run()
        assert now.progress().batches == 2
        assert ("complete", "completed") in told
        queued = on.keys([4]).archive("old").by("user:1").submit()
        assert queued.progress().processed == 0
        ledger.service(Plan(name="w", until_idle=True)).run(lambda: False)
        assert queued.status == "completed"
        chain = on.keys([5]).update(score=0).then(on.where(col("score") == 0).update(note="zero"))
        assert chain.by("user:1").run().status == "completed"
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE archive_reason = 'old') AS old,"
        " count(*) FILTER (WHERE note = 'zero') AS zero FROM places"
    ).fetchone()
    assert row == {"old": 4, "zero": 1}


class Raise(Parameters):
    by: int


def test_actions(database_url: str, connection: Connection[DictRow], places: str) -> None:
    """Update, both deletes, restore, archive, export; own ones with parameters that are validated; the list of all."""

    @set_action(label="Raise the score")
    def lift(parameters: Raise) -> Any:
        """Raise the score of places."""
        return Changes({"score": col("score") + parameters.by})

    @record_action(columns=("name",))
    def shout(record: dict[str, Any], parameters: Parameters) -> Any:
        """Write names in capitals."""
        del parameters
        return {"name": record["name"].upper()}

    sent: list[Any] = []

    @effect(columns=("name",))
    def send(record: Any, parameters: Parameters, context: Any) -> Any:
        """Tell somebody."""
        del parameters, context
        sent.append(record["name"])
        return {"told": True}

    before = dump_table(connection, places)
    with open_ledger(database_url, actions=[lift, shout, send]) as ledger:
        on = ledger.on(places).keys([1, 2])
        done = [
            on.update(note="x").by("a").run(),
            on.delete().by("a").run(),
            on.restore().by("a").run(),
            on.archive("old").by("a").run(),
            on.apply("lift", by=5).by("a").run(),
            on.apply("shout").by("a").run(),
            on.delete(hard=True).by("a").run(),
        ]
        assert [each.progress().applied for each in done] == [2] * len(done)
        assert len(dump_table(connection, places)) == 98
        for each in reversed(done):
            assert each.undo(by="a").run().progress().applied == 2
        assert dump_table(connection, places) == before
        on.apply("send").by("a").run()
        assert sorted(sent) == ["place 1", "place 2"]
        for wrong in ({"by": "many"}, {"by": 1, "more": 2}, {}):
            with pytest.raises(InvalidParameters):
                on.apply("lift", **wrong)
        listed = {action.name: action for action in ledger.actions}
    assert set(listed) >= {"update", "delete", "restore", "archive", "export", "lift", "shout"}
    assert (listed["lift"].label, listed["delete"].destructive) == ("Raise the score", True)
    assert listed["lift"].parameters.model_json_schema()["properties"]["by"]["type"] == "integer"


def test_queue(ledger: Ledger, connection: Connection[DictRow], places: str) -> None:
    """Queues by name, priorities, tries and what failed tried again, limits of a worker's units and memory."""
    on = ledger.on(places)
    connection.execute("ALTER TABLE places ADD CONSTRAINT few CHECK (id <> 3 OR score < 1000)")
    low = on.keys([1]).update(note="low").by("a").queue("mail", priority=-10).submit()
    high = on.keys([2]).update(note="high").by("a").queue("mail", priority=10).submit()
    other = on.keys([50]).update(note="other").by("a").queue("other").submit()
    ledger.service(Plan(name="w", queues=["mail"], max_units=1, max_memory=4_000)).run(
        lambda: high.status == "completed"
    )
    assert (high.status, low.progress().processed) == ("completed", 0)
    ledger.service(Plan(name="w", queues=["mail"], until_idle=True)).run(lambda: False)
    assert (low.status, other.progress().processed) == ("completed", 0)
    failed = on.keys(range(1, 11)).update(score=2000).by("a").batch_size(5).run()
    assert (failed.progress().applied, failed.progress().failed) == (9, 1)
    assert [(each.key, each.constraint) for each in failed.failures()] == [(("3",), "few")]
    connection.execute("ALTER TABLE places DROP CONSTRAINT few")
    again = failed.retry(by="a").run()
    assert again.progress().applied == 1
    assert sum(score == 2000 for score in scores(connection).values()) == 10


def test_progress(ledger: Ledger, places: str) -> None:
    """Total, processed, failed, percent, ETA and elapsed while it goes on, polled or told."""
    seen: list[tuple[int, float, float | None, float]] = []
    request = ledger.on(places).all().update(note="x").by("a").batch_size(20)

    def watch(handle: Any) -> None:
        now = handle.progress()
        assert now.applied + now.failed + now.skipped + now.pending == now.total == 100
        seen.append((now.processed, now.percent, now.eta, now.elapsed))

    execution = request.run(watch=watch)
    assert [processed for processed, *_ in seen] == [20, 40, 60, 80, 100]
    assert [percent for _, percent, *_ in seen] == [20, 40, 60, 80, 100]
    assert all(eta is not None and eta > 0 for _, _, eta, _ in seen[:-1])
    assert [elapsed for *_, elapsed in seen] == sorted(elapsed for *_, elapsed in seen)
    end = execution.progress()
    assert (end.status, end.percent, end.failed, end.batches_done) == ("completed", 100, 0, 5)


def test_undo(ledger: Ledger, connection: Connection[DictRow], places: str) -> None:
    """Of all, of some batches, of some records, of a forced delete, within a window; and a redo."""
    before = dump_table(connection, places)
    target = ledger.on(places)
    execution = target.all().delete(hard=True).by("a").batch_size(20).undoable(days=30).run()
    assert execution.undo(by="a").keys([1, 2]).run().progress().applied == 2
    assert execution.undo(by="a").batches([5]).run().progress().applied == 20
    assert len(scores(connection)) == 22
    rest = execution.undo(by="a", reason="a mistake").run()
    assert rest.progress().applied == 78
    assert dump_table(connection, places) == before
    with pytest.raises(AlreadyUndone):
        execution.undo(by="a").run()
    assert rest.redo(by="a").run().progress().applied == 78
    with pytest.raises(InvalidParameters):
        target.all().delete().undoable(days=91)
    both = target.keys([1]).update(note="x", score=0).by("a").run()
    asked = both.undo(by="a").columns("score")
    assert asked.preview().tally.applied == 1
    assert asked.run().progress().applied == 1
    row = connection.execute("SELECT note, score FROM places WHERE id = 1").fetchone()
    assert row == {"note": "x", "score": 1}
    short = target.keys([1]).update(note="x").by("a").undoable(days=1 / 86_400).run()
    connection.execute("SELECT pg_sleep(1)")
    with pytest.raises(UndoExpired):
        short.undo(by="a").run()
    check_invariants(connection, ledger=ledger, tables=[places])


def test_schedule(ledger: Ledger, connection: Connection[DictRow], places: str) -> None:
    """Later in a time zone; listed, moved, cancelled; at most a year ahead; and it runs."""
    request = ledger.on(places).keys([1]).update(score=col("score") + 1).by("a")
    year = datetime.now(UTC).year + 1
    local = f"{year}-01-15T09:00:00" if datetime.now(UTC).month > 2 else f"{year - 1}-07-15T09:00"
    schedule = request.schedule(at=local, timezone="Europe/Paris")
    due = schedule.next()
    assert due is not None
    assert due.hour == 9
    assert due.utcoffset() in (timedelta(hours=1), timedelta(hours=2))
    assert [each.schedule_id for each in ledger.upcoming(10)] == [schedule.id]
    schedule.reschedule(at=due + timedelta(hours=1), by="a")
    moved = schedule.next()
    assert moved is not None
    assert moved - due == timedelta(hours=1)
    schedule.cancel(by="a")
    assert (schedule.status, ledger.upcoming(10)) == ("cancelled", [])
    with pytest.raises(TimeTooFar):
        request.schedule(at=datetime.now(UTC) + timedelta(days=366))
    soon = request.schedule(at=datetime.now(UTC) + timedelta(seconds=1))
    ledger.service(Plan(name="w")).run(lambda: soon.status == "ended" and soon.runs()[0].status == "completed")  # fmt: skip
    assert scores(connection)[1] == 2


def test_preview(ledger: Ledger, connection: Connection[DictRow], places: str) -> None:
    """Count and sample, exact, with nothing changed; and it is recorded who looked."""
    before = dump_table(connection, places)
    request = ledger.on(places).where(col("country") == "FR").update(score=col("score") * 2)
    preview = request.by("a").preview(sample=3)
    assert (preview.count, preview.tally.applied, len(preview.sample)) == (50, 50, 3)
    assert dump_table(connection, places) == before
    ledger.projections.catch_up()
    (entry,) = ledger.audit(execution_id=preview.id)
    assert (entry.topic, entry.actor) == ("preview.made", "a")
    assert request.by("a").confirm(preview.token).run().progress().applied == 50


def test_safety(database_url: str, connection: Connection[DictRow], places: str) -> None:
    """Destructive ones, large ones and an actor's first want a preview; locks hold; a failure rolls all back."""
    settings = Settings.model_validate(
        {"confirm": "destructive", "confirm_above": 60, "confirm_first": True}
    )
    before = dump_table(connection, places)
    with open_ledger(database_url, settings=settings) as ledger:
        on = ledger.on(places)
        delete, large = on.keys([1]).delete(hard=True).by("a"), on.all().update(note="x").by("a")
        for request in (delete, large):
            with pytest.raises(ConfirmationRequired):
                request.run()
        assert dump_table(connection, places) == before
        confirmed = delete.confirm(delete.preview().token).run()
        assert confirmed.undo(by="a").run().progress().applied == 1
        holder = on.keys([1, 2]).update(note="held").by("a").submit()
        with pytest.raises(RecordsLocked):
            on.keys([2, 3]).update(note="y").by("b").run()
        assert on.keys([2, 3]).update(note="y").by("b").on_locked("skip").run().progress().skipped
        assert [lock.execution_id for lock in ledger.locks()] == [holder.id]
        holder.cancel(by="a")
        connection.execute("ALTER TABLE places ADD CHECK (id <> 50 OR note IS DISTINCT FROM 'z')")
        some = on.where(col("id") <= 60).update(note="z").by("a").batch_size(10)
        failed = some.on_failure("rollback").run()
        assert failed.status == "rolled_back"
    row = connection.execute("SELECT count(*) AS n FROM places WHERE note = 'z'").fetchone()
    assert row == {"n": 0}


def test_limits(database_url: str, places: str) -> None:
    """Executions of one actor at a time and a minute, records of one action, a cooldown after a large one."""
    settings = Settings.model_validate(
        {"max_concurrent_executions": 1, "max_records_per_action": 50, "cooldown_seconds": LONG, "cooldown_records": 40}
    )  # fmt: skip
    with open_ledger(database_url, settings=settings) as ledger:
        on = ledger.on(places)
        with pytest.raises(TooManyRecords):
            on.all().update(note="x").by("a").run()
        waiting = on.keys([1]).update(note="x").by("a").submit()
        with pytest.raises(LimitReached, match="under way"):
            on.keys([2]).update(note="x").by("a").run()
        waiting.cancel(by="a")
        on.where(col("id") <= 40).update(note="x").by("a").run()
        with pytest.raises(LimitReached) as caught:
            on.keys([2]).update(note="x").by("a").run()
        assert (caught.value.limit, caught.value.retry_at is None) == ("cooldown", False)
        assert on.keys([3]).update(note="x").by("b").run().status == "completed"
    settings = Settings.model_validate({"max_executions_per_minute": 1})
    with open_ledger(database_url, settings=settings) as ledger:
        ledger.on(places).keys([1]).update(note="y").by("c").run()
        with pytest.raises(LimitReached):
            ledger.on(places).keys([1]).update(note="y").by("c").run()


def test_authorization(database_url: str, connection: Connection[DictRow], places: str) -> None:
    """One function of the host's says who may do what to which table; what it refuses is in the audit."""

    def authorize(actor: Actor, command: Command, phase: Phase) -> bool:
        if phase is Phase.UNDO:
            return actor.subject == "admin"
        assert isinstance(command, RequestExecution)
        return command.action == "update" and command.resource.table == places

    before = dump_table(connection, places)
    with open_ledger(database_url, authorize=authorize) as ledger:
        on = ledger.on(places).keys([1])
        with pytest.raises(NotAuthorized):
            on.delete(hard=True).by("a").run()
        done = on.update(note="x").by("a").run()
        with pytest.raises(NotAuthorized):
            done.undo(by="a").run()
        assert done.undo(by="admin").run().progress().applied == 1
        ledger.projections.catch_up()
        refused = [entry for entry in ledger.audit(limit=50) if entry.topic == "command.rejected"]
        assert [entry.actor for entry in refused] == ["a", "a"]
    assert dump_table(connection, places) == before


def test_audit(ledger: Ledger, connection: Connection[DictRow], places: str) -> None:
    """Who, what, which records, when, why, with what outcome, undone by whom: and nobody can change it."""
    who = Actor(subject="user:42", address="10.0.0.7", agent="Firefox")
    execution = ledger.on(places).keys([1, 2]).update(note="x").by(who, reason="a ticket").run()  # fmt: skip
    execution.undo(by="user:7", reason="a mistake").run()
    ledger.projections.catch_up()
    entries = ledger.audit(execution_id=execution.id, after=0, limit=100)
    assert [entry.topic for entry in entries if entry.topic.startswith("undo")] == [
        "undo.requested",
        "undo.completed",
    ]
    assert entries[0].asked_by == who
    assert {entry.actor for entry in entries} == {"user:42", "user:7"}
    assert [entry.position for entry in entries] == sorted(entry.position for entry in entries)
    assert {change["key"] for change in execution.changes()} == {("1",), ("2",)}
    did, undid = ledger.history(places, 1)
    assert (did.actor, did.action, did.reason) == ("user:42", "update", "a ticket")
    assert (undid.actor, undid.direction, undid.reason) == ("user:7", "undo", "a mistake")
    assert (did.before, did.after) == ({"note": None}, {"note": "x"})
    (view,) = ledger.executions(actor="user:42")
    assert (view.status, view.applied, view.undone) == ("completed", 2, 2)
    check_invariants(connection, ledger=ledger, tables=[places])


def test_export(database_url: str, places: str, tmp_path: Path) -> None:
    """Each format is a whole file with a manifest, now or queued; columns, a directory, a limit; and it is cleaned."""
    settings = Settings.model_validate({"export_dir": tmp_path})
    with open_ledger(database_url, settings=settings) as ledger:
        some = ledger.on(places).where(col("id") <= 30)
        for suffix in ("csv", "json", "ndjson", "xml", "xlsx", "pdf"):
            request = some.export(f"places.{suffix}", columns=["id", "name"]).by("a").batch_size(7)
            execution = request.submit()
            ledger.service(Plan(name="w", until_idle=True)).run(lambda: False)
            written = execution.export()
            assert (written.status, written.records, written.verify()) == ("written", 30, "equal")
        with (tmp_path / "places.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[:2] == [["id", "name"], ["1", "place 1"]]
        assert [row["id"] for row in json.loads((tmp_path / "places.json").read_text())] == list(
            range(1, 31)
        )
        assert len(ledger.exports.clean(by="a", days=0)) == 6
        assert not list(tmp_path.glob("places.*"))
