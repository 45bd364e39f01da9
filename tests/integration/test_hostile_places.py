"""200 hostile names in every place that takes one, each an existing thing's or an attack; a canary stays as it was."""

import re
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import Changes, Resource, col, set_action
from action_ledger.domain.actions import NAME, Parameters
from action_ledger.domain.errors import ActionLedgerError, InvalidParameters
from action_ledger.domain.hooks import HOOK_NAME
from action_ledger.ops import Ledger, Settings, open_ledger
from tests.dump import dump_table
from tests.exact import dump, run
from tests.faults import injected
from tests.hostile import hostile
from tests.invariants import check_invariants

pytestmark = pytest.mark.fault(17)

COUNT = 200
SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
"""No column can have these names."""
LONG = ("x" * 5_000, "'; DROP TABLE canary; --" * 200)


def names() -> list[str]:
    return [name for name in hostile(COUNT + 10, identifiers=True) if name not in SYSTEM][:COUNT]


@pytest.fixture(autouse=True)
def canary(connection: Connection[DictRow]) -> Generator[None]:
    """A table that nothing names, all that the catalog lists but what the test itself makes, and the ledger's own."""
    run(
        connection,
        "CREATE TABLE canary (id int PRIMARY KEY, note text)",
        "INSERT INTO canary SELECT i, 'sings' FROM generate_series(1, 5) i",
    )
    at_first = dump_table(connection, "canary"), _objects(connection)
    yield
    assert (dump_table(connection, "canary"), _objects(connection)) == at_first


def _objects(connection: Connection[DictRow]) -> list[DictRow]:
    """List the relations of the ledger's schema, the functions, and the roles with what they may do."""
    return connection.execute(
        "SELECT c.relname AS name, c.relkind::text AS kind, c.relfilenode::text AS more FROM pg_class c"
        " WHERE c.relnamespace = 'action_ledger'::regnamespace"
        " UNION ALL SELECT proname, 'function', md5(prosrc) FROM pg_proc"
        " UNION ALL SELECT rolname, 'role', rolsuper::text FROM pg_roles ORDER BY 1, 2, 3"
    ).fetchall()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def taken_or_refused(attempt: Callable[[str], object], given: str, *codes: str) -> bool:
    """Say whether a text was taken; what is refused is refused with one of these codes."""
    injected(17)
    try:
        attempt(given)
    except ActionLedgerError as error:
        if error.code not in codes:
            raise
        return False
    return True


def test_columns(ledger: Ledger, connection: Connection[DictRow], tmp_path: Path) -> None:
    """One table with 200 of them: in conditions, assignments, expressions, exports, histories, and back."""
    columns = [name for name in names() if name != "id"]
    table = sql.Identifier("public", "many")
    connection.execute(
        sql.SQL("CREATE TABLE many (id int PRIMARY KEY, {})").format(
            sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(c)) for c in columns)
        )
    )
    connection.execute(
        sql.SQL("INSERT INTO many SELECT i, {} FROM generate_series(1, 3) i").format(
            sql.SQL(", ").join(sql.Literal(c) for c in columns)
        )
    )
    before = dump(connection, table)
    every = ledger.on("many").all()
    for values in (
        {name: col(name).concat("!", name) for name in columns},
        dict.fromkeys(columns, "x"),
        {name: col(other) for name, other in zip(columns, reversed(columns), strict=True)},
    ):
        execution = every.update(**values).by("a").run()
        assert execution.progress().applied == 3
        assert set(ledger.history("many", 1)[-1].after or {}) == set(columns)
        undo = execution.undo(by="a").run()
        assert (undo.progress().applied, undo.excepted) == (3, [])
        assert dump(connection, table) == before
    for name in columns:
        chosen = ledger.on("many").where((col(name) == name) & col(name).in_([name, "x"]))
        assert chosen.update(**{name: "y"}).by("a").preview().tried == 3
        injected(17)
    execution = every.export(tmp_path / "many.csv", columns=["id", *columns]).by("a").run()
    assert execution.progress().applied == 3
    execution = every.delete(hard=True).by("a").run()
    assert execution.undo(by="a").run().progress().applied == 3
    assert dump(connection, table) == before
    check_invariants(connection, ledger=ledger, tables=["public.many"])


@pytest.mark.slow
def test_schemas_tables_keys_and_types(ledger: Ledger, connection: Connection[DictRow]) -> None:
    """One schema a name, with a table, a key, a type, an index and marks of that name."""
    made = [name for name in names() if not name.startswith("pg_") and name != "information_schema"]
    for name in made:
        identifier = sql.Identifier(name, name) if name != "public" else sql.Identifier("p", name)
        schema = "p" if name == "public" else name
        mark = "deleted" if name == "id" else name
        connection.execute(
            sql.SQL(
                "CREATE SCHEMA {s}; CREATE TYPE {s}.{mood} AS ENUM ({one}, 'other');"
                "CREATE TABLE {t} (id int, {mark} timestamptz, mood {s}.{mood} DEFAULT {one}, note text,"
                " CONSTRAINT {n} PRIMARY KEY (id)); INSERT INTO {t} (id) VALUES (1), (2)"
            ).format(
                s=sql.Identifier(schema),
                t=identifier,
                n=sql.Identifier(f"i{name}"[:30]),
                mark=sql.Identifier(mark),
                mood=sql.Identifier(f"m{name}"[:30]),
                one=sql.Literal(name[:15]),
            ),
            prepare=False,
        )
        before = dump(connection, identifier)
        target = Resource(table=f"{quoted(schema)}.{quoted(name)}", soft_delete=mark)
        chosen = ledger.on(target).where(col("mood") == name[:15])
        executions = [
            chosen.update(note=name, mood="other").by("a").run(),
            ledger.on(target).keys([1]).delete().by("a").run(),
            ledger.on(target).keys([1, 2]).delete(hard=True).by("a").run(),
        ]
        assert [each.progress().applied for each in executions] == [2, 1, 2], name
        for execution in reversed(executions):
            assert execution.undo(by="a").run().progress().skipped == 0
        assert dump(connection, identifier) == before, name
        injected(17)
    check_invariants(connection)


@pytest.mark.slow
def test_who_why_and_where(ledger: Ledger, connection: Connection[DictRow], places: str) -> None:
    """Actors, reasons, queues, keys of callers, patterns, archive reasons: plain data, or refused."""
    on = ledger.on(places)
    before = dump_table(connection, places)
    for n, text in enumerate([*hostile(COUNT), *LONG]):
        some = on.keys([1]).archive(text)
        name = text.strip()
        if not name or not name.isprintable() or len(name) > 200:
            attempts: list[Callable[[str], object]] = [
                lambda t: ledger.on(places).keys([1]).archive().by(t).run(),
                lambda t: ledger.on(places).keys([1]).archive().by("a").queue(t).run(),
                lambda t: ledger.on(places).keys([1]).archive().by("a").once(t).run(),
            ]
            for attempt in attempts:
                assert not taken_or_refused(attempt, text, "invalid_parameters", "actor_missing")
            undo = some.by("a", reason=text).run().undo(by="a", reason=text).run()
            assert undo.progress().applied == 1
            assert ledger.history(places, 1)[-1].reason == text
            continue
        execution = some.by(text, reason=text).once(f"{n}{name}"[:200]).queue(text).run()
        injected(17)
        assert execution.status == "completed"
        view = ledger.executions(actor=name, limit=1)[0]
        assert (view.id, view.actor, view.queue) == (execution.id, name, name)
        row = connection.execute("SELECT archive_reason AS r FROM places WHERE id = 1").fetchone()
        assert row == {"r": text}
        undo = execution.undo(by=text, reason=text).run()
        assert undo.progress().applied == 1
        liked = on.where(col("note").like(text.replace("\\", ""))).update(note="x").by("a").run()
        assert liked.progress().total == 0
        assert ledger.history(places, 1)[-1].reason == text
    assert dump_table(connection, places) == before
    check_invariants(connection, ledger=ledger, tables=[places])


def test_names_of_actions_and_hooks(ledger: Ledger, places: str) -> None:
    """These are names of the host's own making: plain ones, or none."""

    def note(parameters: Parameters) -> Changes:
        """Take a note."""
        del parameters
        return Changes({"note": "x"})

    def notified(name: str) -> object:
        return some.update(note="x").by("a").notify(complete=name).run()

    some = ledger.on(places).keys([1])
    for name in hostile(COUNT):
        assert not taken_or_refused(some.apply, name, "unknown_action")
        if not taken_or_refused(lambda n: set_action(name=n)(note), name, "invalid_action"):
            continue
        assert NAME.fullmatch(name), name
    for name in hostile(COUNT):
        known = taken_or_refused(lambda n: ledger.hooks.register(n, print), name, "invalid_hook")
        if known:
            assert re.fullmatch(HOOK_NAME, name), name
        else:
            assert not taken_or_refused(notified, name, "invalid_parameters")


def test_schedules(ledger: Ledger, places: str) -> None:
    some = ledger.on(places).keys([1]).update(note="x").by("a")
    attempts: list[Callable[[str], object]] = [
        lambda text: some.schedule(cron=text, timezone="UTC"),
        lambda text: some.schedule(at=text, timezone="UTC"),
        lambda text: some.schedule(cron="0 0 * * *", timezone=text),
    ]
    codes = ("invalid_cron", "invalid_schedule", "unknown_time_zone", "time_in_past")
    for text in hostile(COUNT):
        for attempt in attempts:
            assert not taken_or_refused(attempt, text, *codes), text


def test_paths_of_exports(database_url: str, places: str, tmp_path: Path) -> None:
    """Each path is a file below the directory for exports, or is refused; nothing is written elsewhere."""
    directory = tmp_path / "exports"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root")
    settings = Settings(export_dir=directory)
    with open_ledger(database_url, settings=settings) as ledger:
        some = ledger.on(places).keys([1])
        codes = ("export_path_refused", "export_failed", "export_exists", "invalid_parameters")
        for name in [
            *(name.lstrip("/") for name in hostile(COUNT)),
            "../up.csv",
            "a/../../up.csv",
            "\0",
            "a\0b",
            "\ud800",
            "x" * 300,
        ]:
            taken = taken_or_refused(
                lambda given: some.export(given, format="csv").by("a").run(), name, *codes
            )
            if taken:
                assert (directory / name).resolve().is_relative_to(directory.resolve()), name
    outside = [p for p in tmp_path.rglob("*") if not p.is_relative_to(directory) and p.is_file()]
    assert outside == [tmp_path / "etc" / "passwd"]
    assert (tmp_path / "etc" / "passwd").read_text() == "root"


def test_a_hostile_expression_type_is_no_sql(ledger: Ledger, places: str) -> None:
    """What a command from JSON could put where the compiler writes words of its own."""
    fields = ledger.on(places).all().update(score=col("score") + 1).by("a").command().model_dump()
    for text in hostile(COUNT):
        for expression in (
            {"kind": "value", "value": "1", "type": text},
            {"kind": "arithmetic", "op": text, "left": 1, "right": 1},
            {"kind": "call", "function": text, "arguments": [{"kind": "column", "name": "id"}]},
            {"kind": text},
        ):
            with pytest.raises(InvalidParameters):
                ledger.on(places).all().apply("update", values={"score": expression})
            injected(17)
    assert fields
