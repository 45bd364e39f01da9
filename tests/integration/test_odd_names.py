"""Names that could be in the way: of the statements' own, reserved words, quotes, braces, and per cent signs."""

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.ops import Ledger
from tests.exact import dump, run
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres

OWN = (
    "k1",
    "k2",
    "b1",
    "a1",
    "o1",
    "n1",
    "f1",
    "c1",
    "u1",
    "n",
    "q",
    "t",
    "c",
    "s",
    "u",
    "w",
    "l",
    "x",
    "d",
)
WORDS = (
    "old",
    "new",
    "records",
    "reason",
    "planned",
    "changed",
    "keys",
    "select",
    "user",
    "row",
    "excluded",
)
CHARACTERS = (
    "%",
    "%s",
    "%(lo)s",
    "%%",
    "{}",
    "{table}",
    'a"b',
    "a'b",
    "a b",
    "a.b",
    "a,b",
    "a\\b",
    "a\nb",
    "é漢🎉",
)
OTHERS = (
    "UPPER",
    "Mixed",
    "$1",
    "1",
    "x" * 63,
    "--",
    "/*",
    ";",
    "NULL",
    "action_ledger",
    "v0",
    "lo",
    "hi",
    "owner",
)
NAMES = (*OWN, *WORDS, *CHARACTERS, *OTHERS)

TABLES = [
    ("public", "planned"),
    ('a "b" %s.{}', 't%%(x)s "{}"'),
    ("Schema" * 10 + "xyz", "T" * 63),
    ("select", "change_sets"),
]


def make(connection: Connection[DictRow], schema: str, table: str) -> sql.Identifier:
    """Make a table whose key is (k1, t) and whose other columns have all the names."""
    identifier = sql.Identifier(schema, table)
    if schema != "public":
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    columns = sql.SQL(", ").join(
        sql.SQL("{} text DEFAULT {} CHECK ({} <> 'bad')").format(
            name, sql.Literal(f"it's %s {{}} {n}"), name
        )
        for n, name in enumerate(map(sql.Identifier, NAMES))
    )
    connection.execute(
        sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY (k1, t))").format(identifier, columns),
        prepare=False,
    )
    connection.execute(
        sql.SQL("INSERT INTO {} (k1, t) SELECT 'k', i FROM generate_series(1, 5) i").format(
            identifier
        )
    )
    return identifier


@pytest.mark.parametrize("captured", ["touched_columns", "whole_rows"])
def test_columns_of_any_name(
    ledger: Ledger, connection: Connection[DictRow], captured: str
) -> None:
    table = make(connection, "public", "t")
    if captured == "whole_rows":
        run(
            connection,
            "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS"
            """ 'BEGIN NEW."%s" := NEW."%s" || ''!''; RETURN NEW; END'""",
            "CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION stamp()",
            "CREATE FUNCTION after() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER after AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION after()",
        )
    left_out = ("%s",) if captured == "whole_rows" else ()
    before = dump(connection, table, leaving_out=left_out)
    every = {name: f"new {n}" for n, name in enumerate(NAMES) if name not in ("k1", "t")}
    update = ledger.on("t").where(col("%s") != "x").update(**every).by("tester").run()
    assert update.progress().applied == 5, list(update.failures())
    # One is changed by somebody else, one goes, one cannot be set back.
    run(
        connection,
        """UPDATE t SET "{}" = 'mine' WHERE t = '1'""",
        "DELETE FROM t WHERE t = '2'",
        """ALTER TABLE t ADD CHECK (t <> '3' OR "%" LIKE 'new%')""",
    )
    undo = update.undo(by="tester").run()
    assert {(o.key, o.reason) for o in undo.conflicts()} == {
        (("k", "1"), "changed_since"),
        (("k", "2"), "gone"),
    }
    assert [o.key for o in undo.failures()] == [("k", "3")]
    (changed,) = (o for o in undo.conflicts() if o.reason == "changed_since")
    assert changed.recorded is not None
    assert changed.current is not None
    assert (changed.recorded["{}"], changed.current["{}"]) == (every["{}"], "mine")
    assert undo.excepted == list(left_out)
    check_invariants(connection)
    run(connection, "TRUNCATE t", "ALTER TABLE t DROP CONSTRAINT t_check")
    connection.execute("INSERT INTO t (k1, t) SELECT 'k', i::text FROM generate_series(1, 5) i")
    delete = ledger.on("t").all().delete(hard=True).by("tester").run()
    assert delete.undo(by="tester").run().progress().applied == 5
    assert dump(connection, table, leaving_out=left_out) == before


@pytest.mark.parametrize(("schema", "table"), TABLES, ids=["own", "characters", "long", "reserved"])
def test_tables_of_any_name(
    ledger: Ledger, connection: Connection[DictRow], schema: str, table: str
) -> None:
    identifier = make(connection, schema, table)
    before = dump(connection, identifier)
    target = ledger.on(identifier.as_string())
    for request in (
        target.all().update(q="new"),
        target.keys([("k", "1"), ("k", "9")]).delete(hard=True),
        target.where(col("t") > "2").update(t=col("t").concat("0")).streaming().batch_size(2),
    ):
        execution = request.by("tester").run()
        assert execution.progress().failed == 0
        assert dump(connection, identifier) != before
        undo = execution.undo(by="tester").run()
        assert undo.progress().failed + undo.progress().skipped == 0
        assert dump(connection, identifier) == before
    check_invariants(connection)
