"""Undo brings a table back bit for bit: every built-in type, every action, and redo and the undo of redo."""

from collections.abc import Callable

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.target import Target
from tests.every_type import EveryType
from tests.exact import dump, run

Actions = dict[str, Callable[[Target, EveryType], Request]]

ACTIONS: Actions = {
    "update": lambda target, table: target.update(**table.values_of(3)),
    "update_to_null": lambda target, table: target.update(**dict.fromkeys(table.columns)),
    "soft_delete": lambda target, _: target.delete(),
    "hard_delete": lambda target, _: target.delete(hard=True),
    "archive": lambda target, _: target.archive('it\'s \\ "old" %s {}\n'),
    "restore": lambda target, _: target.restore(mark="deleted"),
}
WATCHED = (
    "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    'CREATE TRIGGER look BEFORE UPDATE ON "every type" FOR EACH ROW EXECUTE FUNCTION look()',
)
"""A trigger that might write any column, so that whole rows are captured."""


WHOLE_ROWS = ("update", "archive")


@pytest.mark.every_postgres
@pytest.mark.parametrize("captured", ["touched_columns", "whole_rows"])
def test_every_type_and_every_action(
    ledger: Ledger, connection: Connection[DictRow], subtests: pytest.Subtests, captured: str
) -> None:
    table = EveryType(connection)
    run(connection, "UPDATE \"every type\" SET deleted_at = '2024-01-01' WHERE id % 3 = 0")
    if captured == "whole_rows":
        run(connection, *WATCHED)
    target = ledger.on('public."every type"').all()
    for name, request in ACTIONS.items():
        if captured == "whole_rows" and name not in WHOLE_ROWS:
            continue
        with subtests.test(name):
            before = dump(connection, table.table)
            execution = request(target, table).by("tester").batch_size(10).run()
            after = dump(connection, table.table)
            assert execution.progress().failed == 0, list(execution.failures())
            assert after != before
            undo = execution.undo(by="tester").run()
            assert (undo.progress().failed, undo.progress().skipped) == (0, 0), list(
                undo.failures()
            )
            assert dump(connection, table.table) == before
            assert undo.excepted == []
            redo = undo.redo(by="tester").run()
            assert dump(connection, table.table) == after
            assert redo.excepted == []
            redo.redo(by="tester").run()
            assert dump(connection, table.table) == before


ODD_DEFAULTS = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "America/St_Johns",
    "array_nulls": "off",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "-15",
    "lc_monetary": "C.utf8",
    "quote_all_identifiers": "on",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "xmloption": "document",
}


@pytest.mark.every_postgres
def test_every_type_under_odd_defaults(
    database_url: str, connection: Connection[DictRow], subtests: pytest.Subtests
) -> None:
    table = EveryType(connection)
    before = dump(connection, table.table)
    values = table.values_of(3)
    for name, value in ODD_DEFAULTS.items():
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(connection.info.dbname), sql.Identifier(name), sql.Literal(value)
            )
        )
    with open_ledger(database_url) as ledger:
        target = ledger.on('public."every type"').all()
        for request in (target.update(**values), target.delete(hard=True)):
            execution = request.by("tester").run()
            with subtests.test(execution.row()["action"]):
                after = dump(connection, table.table)
                assert after != before
                undo = execution.undo(by="tester").run()
                assert undo.progress().failed == 0, list(undo.failures())
                assert dump(connection, table.table) == before
                undo.redo(by="tester").run()
                assert dump(connection, table.table) == after
                execution.undo(by="tester").run()
                assert dump(connection, table.table) == before
