"""Audit and history: every event once and in order, every change of a record, and no record data in what stays."""

from uuid import UUID

import psycopg
import psycopg.conninfo
import psycopg.sql
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import InvalidValue, UnknownTable
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.views import AuditEntry
from action_ledger.projections.sql_blocks import trusted
from tests.dump import dump_ledger
from tests.some_work import some_work

BULK = {"request_bodies", "key_sets", "change_sets", "record_outcomes"}
"""Where record data may lie: apart from the events, so that it can be erased."""


class TestAudit:
    def test_one_entry_an_event_in_order(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        some_work(ledger, places)
        events = connection.execute(
            "SELECT notification_id, recorded_at, topic, originator_id,"
            " convert_from(state, 'UTF8')::jsonb AS body"
            " FROM action_ledger.stored_events ORDER BY notification_id"
        ).fetchall()
        entries = ledger.audit(limit=10_000)
        assert [(each.position, each.recorded_at, each.topic) for each in entries] == [
            (event["notification_id"], event["recorded_at"], event["topic"]) for event in events
        ]
        apart = {"metadata", "execution_id", "undo_id", "v"}
        for entry, event in zip(entries, events, strict=True):
            body, metadata = event["body"], event["body"]["metadata"]
            assert entry.actor == metadata["actor"]
            assert str(entry.correlation_id) == metadata["correlation_id"]
            kind = event["topic"].partition(".")[0]
            ids = {
                "execution": (event["originator_id"], None, None),
                "batch": (None, event["originator_id"], body.get("undo_id")),
                "undo": (None, None, str(event["originator_id"])),
                "record_lock": (None, None, body.get("undo_id")),
            }[kind]
            assert str(entry.execution_id) == body.get("execution_id", str(ids[0]))
            assert entry.batch_id == ids[1]
            assert (entry.undo_id and str(entry.undo_id)) == ids[2]
            assert entry.details == {k: v for k, v in body.items() if k not in apart}

    def test_pages_and_filters(self, ledger: Ledger, places: str) -> None:
        some_work(ledger, places)
        everything = ledger.audit(limit=10_000)
        paged, after = list[AuditEntry](), 0
        while page := ledger.audit(after=after, limit=7):
            assert len(page) <= 7
            paged += page
            after = page[-1].position
        assert paged == everything
        assert ledger.audit(limit=0) == []
        for actor in ("a", "b", "c", "nobody"):
            expected = [each for each in everything if each.actor == actor]
            assert ledger.audit(actor=actor, limit=10_000) == expected
        for view in ledger.executions():
            expected = [each for each in everything if each.execution_id == view.id]
            assert ledger.audit(execution_id=view.id, limit=10_000) == expected
            assert expected[0].topic == "execution.requested"


Key = int | str | UUID | tuple[str, str]
KEYS: dict[str, tuple[str, Key, Key]] = {
    "bigint": ("id bigint PRIMARY KEY", 7, 8),
    "text": ("id text PRIMARY KEY", "it's \"7\", {%s}", "8"),
    "uuid": ("id uuid PRIMARY KEY", UUID(int=7), UUID(int=8)),
    "composite": ("id text, day date, PRIMARY KEY (id, day)", ("a,b", "2020-02-29"), ("c", "2020-01-01")),
}  # fmt: skip


class TestHistory:
    @pytest.mark.parametrize("kind", list(KEYS))
    def test_the_life_of_a_record(
        self, ledger: Ledger, connection: Connection[DictRow], kind: str
    ) -> None:
        definition, key, other = KEYS[kind]
        connection.execute(
            trusted(
                "CREATE TABLE lives (n int DEFAULT 1, archived_at timestamptz, archive_reason text,"
                f" {definition})"
            )
        )
        for one in (key, other):
            parts = one if isinstance(one, tuple) else (one,)
            connection.execute(
                "INSERT INTO lives (id, day) VALUES (%s, %s)"
                if len(parts) > 1
                else "INSERT INTO lives (id) VALUES (%s)",
                parts,
            )
        this, both = ledger.on("lives").keys([key]), ledger.on("lives").all()
        raised = both.update(n=col("n") + 1).by("ann", reason="more").run()
        archived = this.archive("too old").by("bob", reason="rule 5").run()
        deleted = this.delete(hard=True).by("cid").run()
        undone = deleted.undo(by="dan", reason="by mistake").run()
        redone = undone.redo(by="eve", reason="no, it was right").run()
        back = redone.redo(by="fay").run()
        entries = ledger.history("lives", key)
        told = [(e.actor, e.action, e.reason, e.direction, e.kind) for e in entries]
        assert told == [
            ("ann", "update", "more", "do", "update"),
            ("bob", "archive", "rule 5", "do", "update"),
            ("cid", "delete", None, "do", "delete"),
            ("dan", "delete", "by mistake", "undo", "insert"),
            ("eve", "delete", "no, it was right", "redo", "delete"),
            ("fay", "delete", None, "undo", "insert"),  # a redo that is taken back is undone again
        ]
        assert [e.execution_id for e in entries] == [raised.id, archived.id] + [deleted.id] * 4
        assert [e.undo_id for e in entries] == [None] * 3 + [undone.id, redone.id, back.id]
        assert (entries[0].before, entries[0].after) == ({"n": "1"}, {"n": "2"})
        assert entries[1].after is not None
        assert entries[1].after["archive_reason"] == "too old"
        for gone, came in ((entries[2], entries[3]), (entries[4], entries[5])):
            assert gone.after is None
            assert came.before is None
            assert gone.before == came.after
            assert gone.before is not None
            assert gone.before["n"] == "2"
        assert [e.position for e in entries] == sorted(e.position for e in entries)
        assert [e.actor for e in ledger.history("lives", other)] == ["ann"]

    def test_a_table_that_has_changed_since(
        self, ledger: Ledger, connection: Connection[DictRow]
    ) -> None:
        connection.execute(
            "CREATE TABLE drifting (id int PRIMARY KEY, gone text[], other text, name text, b box);"
            "INSERT INTO drifting VALUES (1, '{x,NULL,\"a,b\"}', 'abc', 'n', '(1,1),(0,0)')"
        )
        asked = ledger.on("drifting").keys([1])
        asked.update(gone=["y", None], other="def", name="m", b="(2,2),(1,1)").by("a").run()
        before = ledger.history("drifting", 1)
        connection.execute(
            "ALTER TABLE drifting DROP COLUMN gone;"
            "ALTER TABLE drifting ALTER COLUMN other TYPE int USING 5;"
            "ALTER TABLE drifting RENAME COLUMN name TO title;"
            "ALTER TABLE drifting ALTER COLUMN b TYPE text"
        )
        assert ledger.history("drifting", 1) == before
        assert before[0].before is not None
        assert before[0].before == {
            "gone": '{x,NULL,"a,b"}',
            "other": "abc",
            "name": "n",
            "b": "(1,1),(0,0)",
        }
        ledger.on("drifting").keys([1]).update(other=6).by("a").run()
        assert [e.after for e in ledger.history("drifting", 1)][-1] == {"other": "6"}

    def test_nothing_and_nonsense(self, ledger: Ledger, places: str) -> None:
        assert ledger.history(places, 5) == []
        assert ledger.history(places, -1) == []
        with pytest.raises(UnknownTable):
            ledger.history("nowhere", 1)
        for wrong in ("x", None, (1, 2), 2**80):
            with pytest.raises(InvalidValue):
                ledger.history(places, wrong)


def test_no_record_data_outside_of_the_bulk(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """Plant a secret wherever one may come in, and look for it in every byte that stays."""
    secrets = {name: f"s3cr3t-{name}" for name in SECRETS}
    connection.execute(
        "CREATE TABLE people (id text PRIMARY KEY, mail text UNIQUE, note text, archived_at timestamptz,"
        " archive_reason text, score int CHECK (score < 10) DEFAULT 1)"
    )
    connection.execute(
        "INSERT INTO people (id, mail, note) VALUES (%s, %s, 'x'), ('p2', 'm2', %s), ('p3', 'm3', 'x')",
        [secrets["key"], secrets["mail"], secrets["old"]],
    )
    on = ledger.on("people")
    done = (
        on.keys([secrets["key"], "p2"])
        .update(note=secrets["new"])
        .by("a", reason=secrets["reason"])
    )
    first = done.batch_size(1).run()
    on.where(col("note") == secrets["literal"]).update(note="x").by("a").run()
    on.where(col("note").like(f"%{secrets['pattern']}%")).delete(hard=True).by("a").submit()
    clash = on.keys(["p3"]).update(mail=secrets["mail"]).by("a").run()
    assert secrets["mail"] in (next(clash.failures()).message or "")
    on.keys(["p3"]).update(score=col("score") + 100).by("a").run()
    on.keys(["p3"]).archive(secrets["archive"]).by("a").run()
    on.keys(iter([secrets["missing"]])).update(note="x").by("a").run()
    connection.execute("UPDATE people SET note = %s WHERE id = 'p2'", [secrets["later"]])
    undo = first.undo(by="b", reason=secrets["undo"]).keys([secrets["key"], "p2"]).run()
    assert undo.progress().skipped == 1
    undo.redo(by="b").run()
    removed = on.all().delete(hard=True).by("a").run()
    removed.undo(by="a").on_conflict("force").run()
    ledger.catch_up()
    ledger.projections.rebuild()
    held = dump_ledger(connection)
    found = {
        (table, name)
        for table, rows in held.items()
        for name, secret in secrets.items()
        if any(secret in row or secret.encode().hex() in row for row in rows)
    }
    assert {table for table, _ in found} <= BULK
    assert {name for _, name in found} == set(SECRETS), "each was planted, or this proves nothing"
    for entry in ledger.audit(limit=10_000):
        assert "s3cr3t" not in entry.model_dump_json()


SECRETS = (
    "key", "mail", "old", "new", "reason", "literal", "pattern", "archive", "missing", "later", "undo",
)  # fmt: skip


def test_keys_of_other_tables_are_not_read_as_those_of_this_one(
    ledger: Ledger, places: str, connection: Connection[DictRow], database_url: str
) -> None:
    connection.execute("CREATE TABLE words (id text PRIMARY KEY, v int)")
    connection.execute("INSERT INTO words VALUES (E'new\nline', 0)")
    name = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    connection.execute(
        psycopg.sql.SQL("ALTER DATABASE {} SET enable_nestloop = off").format(
            psycopg.sql.Identifier(str(name))
        )
    )
    ledger.on("words").all().update(v=1).by("t").run()
    ledger.on(places).all().update(note="x").by("t").run()
    with open_ledger(database_url) as reopened:
        assert len(reopened.history(places, 1)) == 1
        assert len(reopened.history("words", "new\nline")) == 1
