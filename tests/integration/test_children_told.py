"""Children from the outside: what is shown of them, what is refused, keys that change, triggers that meddle."""

from collections import Counter
from pathlib import Path

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import batch, col
from action_ledger.domain.errors import IrreversibleCascade
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.cli_exit_codes import ExitCode
from tests.command_line import CommandLine
from tests.dump import dump_table
from tests.exact import run
from tests.invariants import check_invariants
from tests.related import SCHEMA, check, delete, dump

pytestmark = pytest.mark.every_postgres


@pytest.fixture
def shop(connection: Connection[DictRow]) -> Connection[DictRow]:
    run(connection, *SCHEMA)
    return connection


def test_what_went_along_is_counted_and_shown(ledger: Ledger, shop: Connection[DictRow]) -> None:
    execution = delete(ledger, "customers", 1, 2)
    undo = execution.undo(by="t").run()
    ledger.catch_up()
    (completed, compensated) = (
        one.details
        for one in ledger.audit(execution_id=execution.id)
        if one.topic in (batch.Completed.TOPIC, batch.Compensated.TOPIC)
    )
    shown = Counter(change["table"] for change in execution.changes())
    assert shown == {"public.customers": 2, **completed["reached"]}
    assert completed["reached"]["public.orders"] == 6
    assert {
        table: tally["applied"] for table, tally in compensated["children"].items()
    } == completed["reached"]
    assert execution.reached() == completed["reached"]
    assert {table: tally.applied for table, tally in undo.children().items()} == completed[
        "reached"
    ]
    entries = ledger.history("orders", 1)
    assert [(one.direction, one.kind, one.execution_id) for one in entries] == [
        ("do", "delete", execution.id),
        ("undo", "insert", execution.id),
    ]
    assert entries[0].before is not None
    assert entries[0].before["note"] == "order 1"
    nulled = shop.execute("SELECT id FROM reviews WHERE customer = 1 LIMIT 1").fetchone()
    assert nulled is not None
    first, second = ledger.history("reviews", nulled["id"])
    assert (first.before, first.after) == ({"customer": "1"}, {"customer": None})
    assert (second.before, second.after) == ({"customer": None}, {"customer": "1"})


def test_the_command_line_tells_of_children(
    ledger: Ledger, shop: Connection[DictRow], database_url: str
) -> None:
    """Both ways are told with numbers, and what stayed behind makes the exit code another."""
    execution = delete(ledger, "customers", 1)
    run(shop, "INSERT INTO orders VALUES (1, 2, 'another')")
    tell = CommandLine(database_url)
    undone = tell("undo", execution.id, "--by", "t", "--yes")
    assert undone.code == ExitCode.PARTLY
    assert "and 2 of public.orders, 1 left as it is" in undone.out
    assert "public.orders 1" in undone.out
    listed = tell("outcomes", execution.undos()[0].id, "--kind", "conflict", "--format", "csv")
    assert "public.orders,1,1,conflict,taken" in listed.out
    redone = tell("redo", "last", "--by", "t", "--yes")
    assert "and 2 of public.orders went along" in redone.out


def test_a_change_of_keys_and_what_follows_it(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    run(
        connection,
        "CREATE TABLE codes (code text PRIMARY KEY)",
        "CREATE TABLE follows (id int PRIMARY KEY, code text REFERENCES codes ON UPDATE CASCADE)",
        "CREATE TABLE forgets (id int PRIMARY KEY, code text REFERENCES codes ON UPDATE SET NULL)",
        "INSERT INTO codes VALUES ('a'), ('b'), ('c')",
        "INSERT INTO follows VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "INSERT INTO forgets VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    )
    tables = ["public.codes", "public.follows", "public.forgets"]

    def now() -> list[list[str]]:
        return [dump_table(connection, table) for table in tables]

    before = now()
    execution = ledger.on("codes").keys(["a", "b"]).update(code=col("code").upper()).by("t").run()
    assert execution.reached() == {"public.follows": 2, "public.forgets": 2}
    after = now()
    assert after[1:] == [["(1,A)", "(2,B)", "(3,c)"], ["(1,)", "(2,)", "(3,c)"]]
    undo = execution.undo(by="t").run()
    assert [*undo.failures(), *undo.conflicts()] == []
    assert now() == before
    redo = undo.redo(by="t").run()
    assert (redo.status, now()) == ("completed", after)
    execution.undo(by="t").run()
    assert now() == before
    check_invariants(connection, ledger=ledger, tables=tables)


def test_a_foreign_key_made_since_is_followed_by_the_redo(
    ledger: Ledger, shop: Connection[DictRow]
) -> None:
    execution = delete(ledger, "customers", 4)
    undo = execution.undo(by="t").run()
    run(
        shop,
        "CREATE TABLE gifts (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE)",
        "INSERT INTO gifts VALUES (1, 4), (2, 5)",
    )
    redo = undo.redo(by="t").run()
    assert redo.reached()["public.gifts"] == 1
    assert execution.undo(by="t").run().children()["public.gifts"].applied == 1
    assert dump_table(shop, "public.gifts") == ["(1,4)", "(2,5)"]
    check(ledger, shop)


def test_triggers_that_take_other_rows_are_found_out(
    ledger: Ledger, shop: Connection[DictRow]
) -> None:
    run(
        shop,
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF old.id = 2 THEN INSERT INTO orders VALUES (1000, 2, 'at the last moment'); END IF; RETURN old; END $$",
        "CREATE TRIGGER meddle BEFORE DELETE ON customers FOR EACH ROW EXECUTE FUNCTION meddle()",
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF old.id = 3 THEN RETURN NULL; END IF; RETURN old; END $$",
        "CREATE TRIGGER keep BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    before = dump(shop)
    execution = ledger.on("customers").keys([1, 2, 3]).delete(hard=True).by("t").run()
    assert execution.progress().applied == 1
    failures = {one.key: one for one in execution.failures()}
    assert {key: one.sqlstate for key, one in failures.items()} == {
        ("2",): "27000",
        ("3",): "27000",
    }
    assert "rows of public.orders" in (failures[("2",)].message or "")
    assert execution.undo(by="t").run().progress().applied == 1
    assert dump(shop) == before
    check(ledger, shop)


REFUSED: dict[str, tuple[str, str]] = {
    "no primary key": (
        "CREATE TABLE child (p int REFERENCES parent ON DELETE CASCADE)",
        "no primary key",
    ),
    "rights of its own": (
        (
            "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE);"
            "ALTER TABLE child ENABLE ROW LEVEL SECURITY"
        ),
        "row-level security",
    ),
    "partitions": (
        "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE) PARTITION BY RANGE (id)",
        "partitioned",
    ),
    "other keys": (
        "CREATE TABLE child (id int DEFAULT 0 PRIMARY KEY REFERENCES parent ON DELETE SET DEFAULT)",
        "other keys",
    ),
    "further on": (
        (
            "CREATE TABLE child (id int PRIMARY KEY, p int UNIQUE REFERENCES parent ON DELETE SET NULL);"
            "CREATE TABLE grandchild (id int PRIMARY KEY, p int REFERENCES child (p) ON UPDATE CASCADE)"
        ),
        "other tables refer to what would be written",
    ),
    "no primary key further on": (
        (
            "CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent ON DELETE CASCADE);"
            "CREATE TABLE grandchild (p int REFERENCES child ON DELETE SET NULL)"
        ),
        "no primary key",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_taken_back_is_refused_with_the_reason(
    ledger: Ledger, connection: Connection[DictRow], case: str
) -> None:
    made, reason = REFUSED[case]
    run(connection, "CREATE TABLE parent (id int PRIMARY KEY)", "INSERT INTO parent VALUES (1)")
    connection.execute(made.encode())
    request = ledger.on("parent").all().delete(hard=True).by("t")
    with pytest.raises(IrreversibleCascade) as refused:
        request.run()
    assert reason in refused.value.reason
    assert refused.value.constraint.endswith("_fkey")
    assert request.irreversible().run().progress().applied == 1


def test_a_server_that_does_not_count(database_url: str, shop: Connection[DictRow]) -> None:
    """Without the counters nobody could tell what triggers did; where there are none, there is nothing to tell."""
    name = sql.Identifier(shop.info.dbname)
    shop.execute(sql.SQL("ALTER DATABASE {} SET track_counts = off").format(name))
    before = dump(shop)
    with open_ledger(database_url) as ledger:
        execution = delete(ledger, "customers", 1, 2)
        assert execution.reached()["public.orders"] == 6
        assert execution.undo(by="t").run().progress().applied == 2
        assert dump(shop) == before
        run(
            shop,
            "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER keep BEFORE DELETE ON items FOR EACH ROW EXECUTE FUNCTION keep()",
        )
        with pytest.raises(IrreversibleCascade) as refused:
            ledger.on("customers").keys([3]).delete(hard=True).by("t").run()
        assert "items has triggers" in refused.value.reason
        assert dump(shop) == before
        check(ledger, shop)


def test_the_command_line_names_the_tables_of_what_went_along(
    shop: Connection[DictRow], database_url: str
) -> None:
    cli = CommandLine(database_url)
    shop.execute("UPDATE orders SET note = NULL WHERE id = 1")
    ran = cli("run", "customers", "delete", "--keys", "1,2", "--hard", "--by", "t", "--yes")
    assert ran.code == 0, ran.err
    along = "and 6 of public.orders through foreign keys"
    assert along in ran.out
    shown = cli("show", "last")
    assert along in shown.out
    for said in (shown, cli("outcomes", "last", "--kind", "applied", "--limit", 100)):
        assert "public.customers" not in said.out.partition("KEY")[2]
    assert "public.orders 1 " in said.out
    assert "note = null" in said.out
    assert "None" not in said.out


@pytest.mark.usefixtures("shop")
def test_what_can_never_be_undone_is_said_as_it_is(database_url: str, tmp_path: Path) -> None:
    cli = CommandLine(database_url)
    file = tmp_path / "orders.csv"
    exported = cli("run", "orders", "export", "--all", "--to", file, "--by", "t", "--yes")
    assert exported.code == 0, exported.err
    for said in (exported, cli("show", "last")):
        assert "the action export cannot be undone" in said.out
        assert "asked for as irreversible" not in said.out
    asked = cli(
        "run", "orders", "update", "--all", "--set", "note=x", "--by", "t", "--irreversible"
    )
    assert "asked for as irreversible" in asked.out
