"""A bad record does not sink the others: each is listed with its key, SQLSTATE and message, and costs little."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import pytest
from psycopg import Connection, Cursor, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.target import Target
from tests.exact import dump, run
from tests.invariants import check_invariants

NAME = "public.items"
BAD = (1, 17, 18, 40)
ROWS = 40

pytestmark = pytest.mark.every_postgres


@dataclass(frozen=True)
class Case:
    """What makes the records BAD bad, how they are changed, and what is said of them."""

    sqlstate: str
    message: str
    before: LiteralString = ""
    constraint: str | None = None

    def request(self, target: Target) -> Request:
        return target.update(status="done")


class Divided(Case):
    def request(self, target: Target) -> Request:
        return target.update(n=col("n") / (col("m") - 1))


class Multiplied(Case):
    def request(self, target: Target) -> Request:
        return target.update(m=col("m") * 1_000_000_000)


class Nulled(Case):
    def request(self, target: Target) -> Request:
        return target.update(required=col("note"))


class Deleted(Case):
    def request(self, target: Target) -> Request:
        return target.delete(hard=True)


class Moved(Case):
    def request(self, target: Target) -> Request:
        return target.update(other=col("m"))


def raising(how: LiteralString) -> LiteralString:
    return (
        "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.m = 1 THEN "
        + how
        + "; END IF; RETURN NEW; END $$;"
    )


BEFORE = "CREATE TRIGGER judge BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION judge()"
DEFERRED = (
    "CREATE CONSTRAINT TRIGGER judge AFTER UPDATE ON items DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION judge()"
)

CASES = {
    "check": Case(
        "23514",
        "violates check",
        "ALTER TABLE items ADD CONSTRAINT ok CHECK (m <> 1 OR status = 'new')",
        "ok",
    ),
    "not_null": Nulled("23502", "null value"),
    "unique": Case(
        "23505",
        "duplicate key",
        "CREATE UNIQUE INDEX one ON items (status) WHERE m = 1 AND status = 'done'; INSERT INTO items (id, m, status) VALUES (99, 1, 'done')",
        "one",
    ),
    "deferred_unique": Moved(
        "23505",
        "already exists",
        "ALTER TABLE items ADD CONSTRAINT one UNIQUE (other) DEFERRABLE INITIALLY DEFERRED;"
        "UPDATE items SET m = -id WHERE m <> 1; INSERT INTO items (id, other, m) VALUES (99, 1, -99)",
        "one",
    ),
    "deferred_foreign_key": Moved(
        "23503",
        "is not present",
        "CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (2);"
        "ALTER TABLE items ADD CONSTRAINT up FOREIGN KEY (other) REFERENCES parents DEFERRABLE INITIALLY DEFERRED",
        "up",
    ),
    "referenced": Deleted(
        "23503",
        "still referenced",
        "CREATE TABLE children (id int CONSTRAINT down REFERENCES items DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO children SELECT id FROM items WHERE m = 1",
        "down",
    ),
    "exclusion": Case(
        "23P01",
        "conflicting key",
        "ALTER TABLE items ADD CONSTRAINT apart EXCLUDE USING btree (status WITH =) WHERE (m = 1 AND status = 'done');"
        "INSERT INTO items (id, m, status) VALUES (99, 1, 'done')",
        "apart",
    ),
    "raise": Case("P0001", "no 1", raising("RAISE EXCEPTION 'no %', OLD.m") + BEFORE),
    "raise_own_state": Case(
        "AL042", "mine", raising("RAISE 'mine' USING ERRCODE = 'AL042'") + BEFORE
    ),
    "raise_known_state": Case(
        "42501", "mine", raising("RAISE 'mine' USING ERRCODE = 'insufficient_privilege'") + BEFORE
    ),
    "raise_deferred": Case("P0001", "late", raising("RAISE 'late'") + DEFERRED),
    "too_many_rows": Case(
        "21000", "more than one row", raising("NEW.n := (SELECT generate_series(1, 2))") + BEFORE
    ),
    "case_not_found": Case(
        "20000", "case not found", raising("CASE OLD.m WHEN 2 THEN NULL; END CASE") + BEFORE
    ),
    "division_by_zero": Divided("22012", "division by zero"),
    "overflow": Multiplied(
        "22003", "out of range", "UPDATE items SET m = CASE WHEN m = 1 THEN 1000000 ELSE 1 END"
    ),
}


def make(connection: Connection[DictRow], schema: str = "public") -> None:
    """Make items 1 to ROWS in a schema; in the BAD ones m is 1 and the note is missing, in the others it is 2."""
    connection.execute("SELECT set_config('search_path', quote_ident(%s), false)", [schema])
    run(
        connection,
        "CREATE TABLE items (id int PRIMARY KEY, status text NOT NULL DEFAULT 'new', n int NOT NULL DEFAULT 6,"
        " m int NOT NULL DEFAULT 2, note text DEFAULT 'x', required text NOT NULL DEFAULT 'x', other int)",
    )
    connection.execute("INSERT INTO items (id) SELECT generate_series(1, %s)", [ROWS])
    connection.execute("UPDATE items SET m = 1, note = NULL WHERE id = ANY(%s)", [list(BAD)])


@pytest.fixture
def items(connection: Connection[DictRow]) -> Connection[DictRow]:
    make(connection)
    return connection


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, needle: str) -> Generator[list[str]]:
    """Count the statements that hold a piece of text."""
    seen: list[str] = []
    execute: Callable[..., Any] = Cursor.execute

    def counting(self: Cursor[Any], query: Any, *args: Any, **kwargs: Any) -> Any:
        text = str(query if isinstance(query, str) else query.as_string(self))
        if needle in text:
            seen.append(text)
        return execute(self, query, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Cursor, "execute", counting)
        yield seen


@pytest.mark.fault(15)
def test_the_others_go_on(
    ledger: Ledger, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    for name, case in CASES.items():
        with subtests.test(name):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
            make(connection, name)
            if case.before:
                run(connection, case.before)
            check_case(ledger, connection, name, case)
    check_invariants(connection, tables=[f"{name}.items" for name in CASES])


def check_case(ledger: Ledger, connection: Connection[DictRow], name: str, case: Case) -> None:
    table = sql.Identifier(name, "items")
    before = dump(connection, table)
    target = ledger.on(f"{name}.items").where(col("id") <= ROWS)
    execution = case.request(target).by("tester").batch_size(25).run()
    failures = list(execution.failures())
    assert execution.status == "completed"
    assert [outcome.key for outcome in failures] == [(str(n),) for n in BAD]
    assert {outcome.sqlstate for outcome in failures} == {case.sqlstate}
    assert {outcome.constraint for outcome in failures} == {case.constraint}
    assert all(outcome.message and case.message in outcome.message for outcome in failures)
    assert execution.progress().applied == ROWS - len(BAD)
    undo = execution.undo(by="tester").run()
    assert undo.progress().applied == ROWS - len(BAD)
    assert dump(connection, table) == before


@pytest.mark.fault(15)
def test_a_bad_record_costs_few_statements(
    ledger: Ledger, items: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        items,
        "ALTER TABLE items ADD CHECK (id <> 777 OR status = 'new')",
        "INSERT INTO items (id) SELECT generate_series(100, 1123)",
    )
    with counted(monkeypatch, 'UPDATE "public"."items" t SET') as statements:
        execution = ledger.on(NAME).where(col("id") >= 100).update(status="done").by("tester").run()
    assert (execution.progress().applied, execution.progress().failed) == (1023, 1)
    assert (
        len(statements) <= 2 * 10 + 1
    )  # 1,024 records, halved ten times: the halves and the whole
    check_invariants(items, tables=[NAME])


@pytest.mark.fault(21)
def test_bad_records_on_the_way_back(ledger: Ledger, items: Connection[DictRow]) -> None:
    execution = ledger.on(NAME).all().update(status="done").by("tester").batch_size(25).run()
    run(
        items,
        "ALTER TABLE items ADD CONSTRAINT stay CHECK (m <> 1 OR status = 'done')",
    )
    undo = execution.undo(by="tester").run()
    assert {(o.key[0], o.constraint) for o in undo.failures()} == {(str(n), "stay") for n in BAD}
    check_invariants(items, tables=[NAME])
    run(items, "ALTER TABLE items DROP CONSTRAINT stay")
    assert execution.undo(by="tester").run().progress().applied == 4
    delete = ledger.on(NAME).all().delete(hard=True).by("tester").run()
    run(items, "ALTER TABLE items ADD CONSTRAINT gone CHECK (m <> 1)")
    undo = delete.undo(by="tester").run()
    assert {(o.key[0], o.constraint) for o in undo.failures()} == {(str(n), "gone") for n in BAD}
    run(items, "ALTER TABLE items DROP CONSTRAINT gone")
    assert delete.undo(by="tester").run().progress().applied == 4
    check_invariants(items, tables=[NAME])
