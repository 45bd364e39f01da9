"""A few records, changed at once: the statements that it takes, and that a wrong command is refused as any other."""

from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import InvalidExpression, InvalidValue, PermissionDenied
from action_ledger.domain.expression import Arithmetic, Call, ColumnReference, value_node
from action_ledger.ops import Ledger, open_ledger
from action_ledger.workers.at_once import FEW
from tests.dump import assert_at_rest, dump_ledger, dump_table

TABLE = """
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE TABLE coins (id int PRIMARY KEY, name varchar(4), n int CHECK (n < 100), small small, other int UNIQUE DEFERRABLE);
INSERT INTO coins SELECT n, 'coin', n, 1, n FROM generate_series(1, 40) n;
"""
MOST_WAITS = 20
"""For one record's run, from BEGIN to COMMIT: each is a message to the server and its answer."""


@pytest.fixture
def coins(connection: Connection[DictRow]) -> str:
    connection.execute(TABLE)
    return "public.coins"


def test_one_record_takes_so_many_statements(
    ledger: Ledger, coins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[object] = []
    wait: Any = psycopg.Connection.wait

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        waits.append(self)
        return wait(self, *args, **options)

    def run(key: int) -> None:
        ledger.on(coins).keys([key]).update(name="x", n=col("n") + 1).by("a").run()

    for key in range(1, 9):  # then every statement is prepared
        run(key)
    monkeypatch.setattr(psycopg.Connection, "wait", counted)
    run(10)
    monkeypatch.undo()
    assert len(waits) <= MOST_WAITS


WRONG: dict[str, tuple[dict[str, Any], type[Exception]]] = {
    "no number": ({"n": "many"}, InvalidValue),
    "too long": ({"name": "coins"}, InvalidValue),
    "out of its range": ({"n": 2**40}, InvalidValue),
    "not in its domain": ({"small": 11}, InvalidValue),
    "no operator": ({"n": col("n") + col("name")}, InvalidExpression),
    "an operand that is no number": ({"n": col("n") + "x"}, InvalidExpression),
}


@pytest.mark.parametrize("keys", [[1], [1, 2, 3], [999], [1, 999], [*range(1, FEW + 2)]])
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(
    ledger: Ledger, connection: Connection[DictRow], coins: str, name: str, keys: list[int]
) -> None:
    """Whether the records are there or not, and however many they are: nothing is listed as a failed record."""
    values, error = WRONG[name]
    before = dump_ledger(connection), dump_table(connection, coins)
    with pytest.raises(error):
        ledger.on(coins).keys(keys).update(**values).by("a").run()
    assert (dump_ledger(connection), dump_table(connection, coins)) == before
    assert_at_rest(ledger)


def test_what_no_record_gets_as_far_as_is_refused_too(
    database_url: str, connection: Connection[DictRow], coins: str
) -> None:
    """The default of a coalesce is not computed for a record that has a value, where one plan is kept for all values."""
    name = sql.Identifier(connection.info.dbname)
    generic = sql.SQL("ALTER DATABASE {} SET plan_cache_mode = force_generic_plan").format(name)
    connection.execute(generic)
    nonsense = Arithmetic(op="divide", left=value_node(1), right=value_node(0))
    default = Call(function="coalesce", arguments=(ColumnReference(name="n"), nonsense))
    with open_ledger(database_url) as ledger:
        command = ledger.on(coins).keys([1]).update(n=1).by("a").command()
        values = {"parameters": {"values": {"n": default.model_dump()}}}
        before = dump_ledger(connection), dump_table(connection, coins)
        for _ in range(7):  # it is prepared by then
            with pytest.raises(InvalidExpression):
                ledger.handle(command.model_copy(update=values), now=True)
    assert (dump_ledger(connection), dump_table(connection, coins)) == before


def test_a_record_that_the_table_refuses_is_listed(ledger: Ledger, coins: str) -> None:
    asked = ledger.on(coins).keys([1, 2, 3]).update(n=col("n") * 40, name="y").by("a")
    progress = asked.run().progress()
    assert (progress.applied, progress.failed, progress.skipped) == (2, 1, 0)
    alone = ledger.on(coins).keys([7]).update(n=700).by("a").run().progress()
    assert (alone.applied, alone.failed) == (0, 1)
    late = ledger.on(coins).keys([8, 9]).update(other=5).by("a").run().progress()
    assert (late.applied, late.failed) == (0, 2)
    gone = ledger.on(coins).keys([8, 998]).update(n=1).by("a").run().progress()
    assert (gone.applied, gone.skipped) == (1, 1)
    assert_at_rest(ledger)


def test_a_missing_right_is_named(
    ledger: Ledger, connection: Connection[DictRow], coins: str, database_url: str
) -> None:
    """Where a role may change one column and not another, the lock is granted and the change is not."""
    role = sql.Identifier(f"clerk_{connection.info.dbname}")
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    for grant in (
        "GRANT USAGE ON SCHEMA action_ledger TO {}",
        "GRANT ALL ON ALL TABLES IN SCHEMA action_ledger TO {}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA action_ledger TO {}",
        "GRANT SELECT, DELETE, UPDATE (name) ON coins TO {}",
    ):
        connection.execute(sql.SQL(grant).format(role))  # pyright: ignore[reportArgumentType]
    try:
        url = f"{database_url}{'&' if '?' in database_url else '?'}user={role.as_string().strip(chr(34))}"
        with open_ledger(url) as clerk:
            assert clerk.on(coins).keys([1]).update(name="z").by("a").run().status == "completed"
            with pytest.raises(PermissionDenied):
                clerk.on(coins).keys([1]).update(n=5).by("a").run()
    finally:
        connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))
    assert_at_rest(ledger)
