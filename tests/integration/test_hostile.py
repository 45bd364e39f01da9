"""Hostile names and values: each is taken exactly as it is, or refused with a typed error and nothing written."""

from collections.abc import Callable, Iterable

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import ActionLedgerError, UnknownColumn
from action_ledger.ops import ExecutionHandle, Ledger
from tests.dump import dump_ledger, dump_table
from tests.hostile import hostile

UNSTORABLE = ["\0", "a\0b", "\ud800", "x\udfff"]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def test_values_arrive_as_they_are(ledger: Ledger, connection: Connection[DictRow]) -> None:
    """As a key, in a condition, as an assignment, in an expression, in a reason, and back by an undo."""
    values = hostile(200)
    connection.execute("CREATE TABLE texts (k text PRIMARY KEY, v text, w text, n int)")
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO texts VALUES (%s, %s, 'w', 0)", [(v, v) for v in values])
    before = dump_table(connection, "texts")
    done: list[ExecutionHandle] = []
    forms: tuple[Callable[[list[str]], Iterable[str]], ...] = (list[str], iter)
    for form in forms:
        chosen = ledger.on("texts").keys(form(values))
        execution = chosen.update(v=col("k").concat(col("v")), w=values[7]).by("a").run()
        assert execution.progress().applied == len(values)
        done.append(execution)
    for value in values[::8]:
        actor = f"a{value}z" if value.isprintable() else "a"  # a name has no control characters
        execution = (
            ledger.on("texts")
            .where((col("k") == value) & col("k").in_([value, "x"]) & (col("k") <= value))
            .update(w=value, n=col("n") + 1)
            .by(actor, reason=value)
            .run()
        )
        assert execution.progress().applied == 1, value
        (change,) = execution.changes()
        assert change["key"] == (value,)
        assert change["after"] == {"w": value, "n": "1"}
        entry = ledger.history("texts", value)[-1]
        assert (entry.reason, entry.actor, entry.after) == (
            value,
            actor,
            change["after"],
        )
        done.append(execution)
    row = connection.execute("SELECT count(*) AS n FROM texts WHERE n = 1 AND w = k").fetchone()
    assert row == {"n": len(values[::8])}
    for execution in reversed(done):
        undo = execution.undo(by="a", reason="'; DROP TABLE texts; --").run()
        assert undo.progress().skipped == 0
    assert dump_table(connection, "texts") == before
    assert all(each.equal for each in ledger.projections.verify())


def test_tables_and_columns_of_any_name(
    ledger: Ledger, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    """One table a name: the name is that of its schema too, of its key, and of the column that is changed."""
    names = dict.fromkeys(name[:18] for name in hostile(160, identifiers=True)[::9])
    for name in names:
        key, column = f"k{name}"[:20], f"c{name}"[:20]
        with subtests.test(name):
            connection.execute(
                sql.SQL(
                    "CREATE SCHEMA {s}; CREATE TYPE {s}.{t} AS ENUM ('old', 'new');"
                    "CREATE TABLE {s}.{n} ({k} int, {c} text, {t} {s}.{t} DEFAULT 'old', PRIMARY KEY ({k}));"
                    "INSERT INTO {s}.{n} VALUES (1, 'a'), (2, 'b')"
                ).format(
                    s=sql.Identifier(f"s{name}"[:20]),
                    n=sql.Identifier(name),
                    k=sql.Identifier(key),
                    c=sql.Identifier(column),
                    t=sql.Identifier(f"t{name}"[:20]),
                )
            )  # fmt: skip
            table = f"{quoted(f's{name}'[:20])}.{quoted(name)}"
            values: dict[str, object] = {column: col(column).concat("!"), f"t{name}"[:20]: "new"}
            asked = ledger.on(table).where(col(column) == "a").update(**values).by("a")
            assert asked.preview().sample[0][column] == "a"
            execution = asked.run()
            assert execution.progress().applied == 1
            (entry,) = ledger.history(table, 1)
            assert entry.after == {column: "a!", f"t{name}"[:20]: "new"}
            assert execution.undo(by="a").run().progress().applied == 1
            deleted = ledger.on(table).all().delete(hard=True).by("a").run()
            assert deleted.undo(by="a").run().progress().applied == 2
            (view, *_) = ledger.executions(limit=1)
            assert len(ledger.executions(table=view.table)) == 2


def refused(mistakes: Iterable[Callable[[], object]], told: object) -> None:
    """Each is a typed error, and not one that the database had to find."""
    for n, mistake in enumerate(mistakes):
        with pytest.raises(ActionLedgerError) as caught:
            pytest.fail(f"taken: {told!r}, {n}: {mistake()}")
        assert caught.value.code != "database_refused", (told, n, caught.value)


def test_names_that_are_not_there(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    on = ledger.on
    some = on(places).keys([1])

    def mistakes(name: str) -> list[Callable[[], object]]:
        return [
            lambda: on(f"nowhere{name}").all().update(note="x").by("a").run(),
            lambda: on(quoted(f"a{name}")).all().delete().by("a").run(),
            lambda: on(f"public.{quoted(f'a{name}')}").all().delete().by("a").run(),
            lambda: some.update(**{f"{name}.": "x"}).by("a").run(),
            lambda: on(places).where(col(f"{name}.") == 1).delete().by("a").run(),
            lambda: on(places).all().update(score=col(f"{name}.") + 1).by("a").run(),
            lambda: some.apply(name).by("a").run(),
            lambda: ledger.history(f"a{name}", 1),
            lambda: ledger.projections.verify([name]),
        ]

    before = dump_ledger(connection), dump_table(connection, places)
    for name in [*hostile(200)[::6], *UNSTORABLE, "x" * 64, "é" * 40]:
        refused(mistakes(name), name)
    assert (dump_ledger(connection), dump_table(connection, places)) == before


def test_texts_that_cannot_be(ledger: Ledger, places: str, connection: Connection[DictRow]) -> None:
    every = ledger.on(places)
    some = every.keys([1])

    def mistakes(text: str) -> list[Callable[[], object]]:
        return [
            lambda: some.update(note=text).by("a").run(),
            lambda: some.update(note="x").by(text).run(),
            lambda: some.update(note="x").by("a", reason=text).run(),
            lambda: some.update(note="x").by("a").queue(text).run(),
            lambda: some.archive(text).by("a").run(),
            lambda: every.where(col("note") == text).delete().by("a").run(),
            lambda: every.where(col("note").like(text)).delete().by("a").run(),
            lambda: every.keys([text]).delete().by("a").run(),
            lambda: every.keys(iter([text])).delete().by("a").run(),
            lambda: ledger.history(places, text),
            lambda: ledger.executions(actor=text),
            lambda: ledger.executions(table=text),
            lambda: ledger.audit(actor=text),
        ]

    before = dump_ledger(connection), dump_table(connection, places)
    for text in UNSTORABLE:
        refused(mistakes(text), text)
    assert (dump_ledger(connection), dump_table(connection, places)) == before


def test_a_name_is_shown_as_it_is(ledger: Ledger, places: str) -> None:
    """A message holds what was written, cut short, and is never taken for a template."""
    for name in hostile(60):
        if name == "id":
            continue
        with pytest.raises(UnknownColumn) as caught:
            ledger.on(places).where(col(name) == 1).delete().by("a").run()
        assert caught.value.column == name
        assert name in str(caught.value)
