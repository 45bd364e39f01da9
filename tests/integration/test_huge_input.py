"""Huge and odd input: refused by a typed error before anything is written, or done right, and in bounded memory."""

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import reduce
from pathlib import Path

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import Predicate, RequestExecution, col
from action_ledger.domain.columns import Operand
from action_ledger.domain.errors import ActionLedgerError, CommandTooLarge
from action_ledger.domain.selection import Comparison, Or
from action_ledger.domain.values import MAX_TEXT
from action_ledger.ops import Ledger
from tests.dump import dump_ledger, dump_table, says
from tests.exact import dump, run
from tests.faults import injected
from tests.invariants import check_invariants

pytestmark = pytest.mark.fault(16)

WIDE = 1_600
"""Columns, the most that PostgreSQL takes."""
DEEP = 5_000
MANY = 70_000
"""More values than the protocol has room for in one statement (65,535)."""
GIGABYTE = 1_000_000_000

Attempt = Callable[..., object]


def nested(levels: int, *, of: type = list) -> object:
    """Give a 1 within so many lists or dicts."""
    value: object = 1
    for _ in range(levels):
        value = [value] if of is list else {"a": value}
    return value


def alternating(leaves: int) -> Predicate:
    """Give leaves that are joined by & and | in turns, each pair within the next."""
    predicate = col("score") == 0
    for leaf in range(1, leaves):
        one = col("score") == leaf
        predicate = predicate & one if leaf % 2 else predicate | one
    return predicate


def either(leaves: int) -> Or:
    return Or(terms=tuple(Comparison(column="score", op="eq", value=n) for n in range(leaves)))


def summed(terms: int) -> Operand:
    return reduce(lambda sum_, _: sum_ + 1, range(terms), col("score") + 0)


def refused(code: str, attempt: Attempt, *given: object) -> None:
    with pytest.raises(ActionLedgerError) as caught:
        pytest.fail(f"taken: {attempt(*given)}")
    assert says(caught.value) == code, caught.value
    assert len(str(caught.value)) < 3_000
    injected(16)


def test_predicates_of_any_size(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    """Deep or long, by every way that a command can end, and from JSON; a list of values may be long."""
    on = ledger.on(places)
    before = dump_ledger(connection), dump_table(connection, places)
    for predicate in (
        *(either(MANY), either(10_000), alternating(DEEP), alternating(250)),
        *(reduce(lambda p, _: ~p, range(DEEP), col("score") == 1), summed(DEEP) > 1),
    ):
        request = on.where(predicate).update(note="x").by("a")
        for attempt in (request.run, request.submit, request.preview):
            refused("command_too_large", attempt)
    request = on.where(either(MANY)).update(note="x").by("a")
    refused("command_too_large", lambda: request.schedule(cron="0 0 * * *", timezone="UTC"))
    refused("command_too_large", request.then(on.all().update(note="x").by("a")).submit)
    with ledger.store.transaction() as transaction:
        within = ledger.within(transaction.cursor.connection)
        refused("command_too_large", lambda: within.handle(request.command()))
    refused("command_too_large", request.once("a key").submit)
    assert (dump_ledger(connection), dump_table(connection, places)) == before
    for predicate, found in (
        (col("score").in_(range(MANY)), 100),
        (either(9_999), 100),
        (alternating(91), 1),
    ):
        execution = on.where(predicate).update(note="x").by("a").run()
        assert execution.progress().applied == found
        assert execution.undo(by="a").run().progress().applied == found
    check_invariants(connection, ledger=ledger, tables=[places])


def test_parameters_of_any_size(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    on = ledger.on(places)
    some = on.keys([1])
    before = dump_ledger(connection), dump_table(connection, places)
    run(connection, "CREATE TABLE papers (id int PRIMARY KEY, j json, b jsonb, tags text[])")
    run(connection, "INSERT INTO papers VALUES (1, '{}', '{}', '{}')")
    papers = ledger.on("papers").keys([1])
    round_and_round: list[object] = []
    round_and_round.append(round_and_round)
    sums: dict[str, object] = {"note": summed(DEEP)}
    for attempt in (
        lambda: some.update(**sums).by("a").run(),
        lambda: some.apply("update", values={"note": nested(DEEP)}).by("a").run(),
        lambda: some.apply("update", values={"note": nested(DEEP, of=dict)}).by("a").run(),
        lambda: some.apply("update", values=round_and_round).by("a").run(),
        lambda: some.update(note="x").by("a", reason="x" * (MAX_TEXT + 1)).run(),
        lambda: some.apply("update", values={"note": "x" * (MAX_TEXT + 1)}).by("a").run(),
        lambda: some.update(**{"x" * (MAX_TEXT + 1): 1}).by("a").run(),
        lambda: on.keys(["x" * (MAX_TEXT // 2), "y" * (MAX_TEXT // 2 + 1)]).delete().by("a").run(),
    ):
        refused("command_too_large", attempt)
    for value in (nested(DEEP), nested(DEEP, of=dict), nested(101), round_and_round):
        refused("invalid_value", lambda value: papers.update(j=value).by("a").run(), value)
        refused("invalid_value", lambda value: papers.update(b=value).by("a").run(), value)
        refused("invalid_value", lambda value: papers.update(tags=value).by("a").run(), value)
        refused("invalid_value", lambda value: on.keys([value]).delete().by("a").run(), value)
        refused("invalid_value", lambda value: on.keys(iter([value])).delete().by("a").run(), value)
    # A text is not looked into: what the server cannot take is the server's to refuse.
    refused("database_refused", lambda: papers.update(b="[" * 50_000 + "]" * 50_000).by("a").run())
    values = {"values": {f"c{n}": {"kind": "column", "name": "id"} for n in range(MANY)}}
    command = some.update(note="x").by("a").command().model_copy(update={"parameters": values})
    refused("unknown_column", lambda: ledger.handle(command))
    long = {"values": {"tags": [{"kind": "json", "text": "1"}] * MANY}}
    fields = papers.update(j=1).by("a").command().model_dump(mode="json") | {"parameters": long}
    assert (dump_ledger(connection), dump_table(connection, places)) == before
    ledger.handle(RequestExecution.model_validate(fields), now=True)
    row = connection.execute("SELECT cardinality(tags) AS n FROM papers").fetchone()
    assert row == {"n": MANY}
    execution = papers.update(j=nested(90), b=nested(90, of=dict)).by("a").run()
    assert execution.progress().applied == 1
    assert execution.undo(by="a").run().progress().applied == 1
    check_invariants(connection, ledger=ledger, tables=["papers"])


def test_more_values_than_a_statement_takes(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """Values of an array column are compared one by one, each a parameter of its own."""
    run(connection, "CREATE TABLE tagged (id int PRIMARY KEY, tags int[])")
    before = dump_ledger(connection)
    chosen = ledger.on("tagged").where(col("tags").in_([[n] for n in range(MANY)]))
    refused("command_too_large", chosen.delete(hard=True).by("a").run)
    assert dump_ledger(connection) == before


MEMORY = """
import sys
from pathlib import Path
from action_ledger.domain import ActionLedgerError, col
from action_ledger.ops import open_ledger

def most():
    line, = (l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024

size = int(sys.argv[2])
huge = "x" * size
raw = bytes(size)
with open_ledger(sys.argv[1]) as ledger:
    on = ledger.on("places")
    some = on.keys([1])
    some.update(note="warm").by("a").run().undo(by="a").run()
    before = most()
    for attempt in (
        lambda: some.update(note=huge).by("a").run(),
        lambda: some.update(note=raw).by("a").run(),
        lambda: some.update(note={"a": [huge]}).by("a").run(),
        lambda: some.update(note=col("note").concat(huge)).by("a").run(),
        lambda: on.where(col("note") == huge).delete().by("a").run(),
        lambda: on.where(col("note").in_([huge])).delete().by("a").run(),
        lambda: on.keys([huge]).delete().by("a").run(),
        lambda: on.keys(iter([huge])).delete().by("a").run(),
        lambda: some.archive(huge).by("a").run(),
        lambda: some.apply("update", values={"note": huge}).by("a").run(),
        lambda: ledger.history("places", huge),
    ):
        try:
            attempt()
        except ActionLedgerError as error:
            print(error.code)
        else:
            print("taken")
    print(most() - before)
"""


@pytest.mark.slow
def test_a_gigabyte_is_refused_before_it_is_copied(
    places: str, database_url: str, connection: Connection[DictRow]
) -> None:
    command = [sys.executable, "-c", MEMORY, database_url, str(GIGABYTE)]
    before = dump_table(connection, places)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    *codes, more = done.stdout.split()
    assert set(codes) == {"command_too_large", "invalid_value"}, codes
    injected(16, len(codes))
    assert float(more) < 64, "megabytes; one copy would be a thousand"
    assert dump_table(connection, places) == before


def test_tables_of_1600_columns(
    ledger: Ledger, connection: Connection[DictRow], tmp_path: Path
) -> None:
    """What is touched alone counts; what could not be taken back is refused, unless that is given up."""
    names = [f"c{n}" for n in range(1, WIDE)]
    columns = sql.SQL(", ").join(sql.SQL("{} int").format(sql.Identifier(name)) for name in names)
    connection.execute(sql.SQL("CREATE TABLE wide (id int PRIMARY KEY, {})").format(columns))
    run(connection, "INSERT INTO wide (id, c1, c1599) SELECT i, i, i FROM generate_series(1, 20) i")
    table = sql.Identifier("public", "wide")
    before = dump(connection, table)
    wide = ledger.on("wide")
    somewhere = reduce(lambda p, name: p | (col(name) == 7), names, col("id") == 7)
    for request, applied in (
        (wide.all().update(c1=col("c1599") + 1), 20),
        (wide.where(somewhere).update(c800=1), 1),
        (wide.all().update(**dict.fromkeys(names[:500], 1)), 20),
    ):
        execution = request.by("a").run()
        assert execution.progress().applied == applied
        assert execution.undo(by="a").run().progress().applied == applied
        assert dump(connection, table) == before
    at_rest = dump_ledger(connection)
    everything = wide.all().update(**dict.fromkeys(names, 1)).by("a")
    refused("invalid_parameters", everything.run)
    refused("invalid_parameters", wide.all().delete(hard=True).by("a").run)
    assert (dump_ledger(connection), dump(connection, table)) == (at_rest, before)
    assert wide.all().export(tmp_path / "wide.csv").by("a").run().progress().applied == 20
    assert wide.keys([1]).delete(hard=True).irreversible().by("a").run().progress().applied == 1
    check_invariants(connection)


def test_odd_values(ledger: Ledger, connection: Connection[DictRow]) -> None:
    run(
        connection,
        "CREATE TABLE odd (id int PRIMARY KEY, t text, i bigint, n numeric, f float8, d date, z timestamptz,"
        " j json, b jsonb)",
        "INSERT INTO odd VALUES (1, 't', 1, 1, 1, '2026-01-01', '2026-01-01 00:00+00', '{}', '{}')",
    )
    table = sql.Identifier("public", "odd")
    before = dump(connection, table), dump_ledger(connection)
    some = ledger.on("odd").keys([1])
    digits = "9" * 100_000
    for column, value in (
        *(("t", "a\0b"), ("t", "\ud800"), ("j", {"a": "a\0b"}), ("b", {"a\0": 1}), ("b", {"\udfff": 1})),
        *(("b", r'{"a": "\u0000"}'), ("b", r'{"a": "\ud800"}'), ("j", "\ud800"), ("j", float("nan"))),
        *(("b", float("inf")), ("j", {"a": Decimal("NaN")}), ("b", [float("-inf")]), ("b", "NaN")),
        *(("i", float("nan")), ("i", float("inf")), ("i", digits), ("i", Decimal(digits)), ("f", digits)),
        *(("n", "9" * 200_000), ("n", Decimal("1e1000000")), ("b", {"a": Decimal("1e1000000")})),
        *(("n", 10**100_000), ("i", 2**63), ("d", "5874898-01-01"), ("d", "4714-01-01 BC")),
        *(("z", "294277-01-01"), ("z", "4714-01-01 BC"), ("d", "2026-02-30"), ("j", {1: 1})),
        *(("t", object()), ("j", object()), ("b", {"a": object()})),
    ):  # fmt: skip
        refused("invalid_value", lambda c, v: some.update(**{c: v}).by("a").run(), column, value)
    for key in (digits, 2**63, 10**4_000, float("nan"), "a\0b", "\ud800", 1.5, "", None):
        for keys in ([key], iter([key])):
            refused(
                "invalid_value",
                lambda k: ledger.on("odd").keys(k).delete(hard=True).by("a").run(),
                keys,
            )
    assert (dump(connection, table), dump_ledger(connection)) == before
    # These are values of their columns, however odd.
    values = {
        "t": "\u202e\x01\x7f\uffff\U0010ffff",
        "n": Decimal(digits),
        "f": float("-inf"),
        "d": "infinity",
        "z": "294276-12-31 23:59:59.999999+00",
        "j": {"a": Decimal("1e1000000"), "": [None, r"\u0000"]},
        "b": {"": {"a": Decimal(digits)}, "nested": nested(80)},
    }
    executions = [some.update(**{name: value}).by("a").run() for name, value in values.items()]
    executions.append(some.update(n=float("nan")).by("a").run())
    assert [each.progress().applied for each in executions] == [1] * len(executions)
    assert ledger.history("odd", 1)[-1].after == {"n": "NaN"}
    for execution in reversed(executions):
        assert execution.undo(by="a").run().progress().applied == 1
    assert dump(connection, table) == before[0]
    # A value that comes out of the record's own is found record by record.
    late = some.update(z=col("z") + timedelta(days=999_999_999)).by("a").run()
    assert [each.sqlstate for each in late.failures()] == ["22008"]
    check_invariants(connection, ledger=ledger, tables=["public.odd"])


def test_odd_tables(ledger: Ledger, connection: Connection[DictRow]) -> None:
    run(
        connection,
        "CREATE TABLE no_columns ()",
        "INSERT INTO no_columns DEFAULT VALUES",
        "CREATE TABLE no_key (a int)",
        "CREATE TABLE only_key (id int PRIMARY KEY)",
        "INSERT INTO only_key VALUES (1), (2)",
    )
    keys = ", ".join(f"k{n}" for n in range(32))
    columns = sql.SQL(", ".join(f"k{n} int DEFAULT 1" for n in range(32)))  # pyright: ignore[reportArgumentType]
    connection.execute(
        sql.SQL("CREATE TABLE long_key ({}, v int, PRIMARY KEY ({}))").format(
            columns, sql.SQL(keys)
        )  # pyright: ignore[reportArgumentType]
    )
    run(connection, "INSERT INTO long_key (v) VALUES (1)")
    before = dump_ledger(connection)
    for name in ("no_columns", "no_key"):
        refused(
            "no_primary_key", lambda n: ledger.on(n).all().delete(hard=True).by("a").run(), name
        )
        refused("no_primary_key", lambda n: ledger.on(n).keys([1]).delete().by("a").run(), name)
    refused("unknown_column", lambda: ledger.on("only_key").all().update(x=1).by("a").run())
    refused("invalid_parameters", lambda: ledger.on("only_key").all().update().by("a").run())
    refused("invalid_expression", lambda: col("") == 1)
    refused("unknown_column", lambda: ledger.on("only_key").all().update(**{"": 1}).by("a").run())
    refused("unknown_table", lambda: ledger.on("").all().delete().by("a").run())
    refused("unknown_table", lambda: ledger.on('""').all().delete().by("a").run())
    refused(
        "invalid_value",
        lambda: ledger.on("long_key").keys([(1,) * 31]).delete(hard=True).by("a").run(),
    )
    assert dump_ledger(connection) == before
    for target in (ledger.on("only_key").all(), ledger.on("long_key").keys([(1,) * 32])):
        execution = target.delete(hard=True).by("a").run()
        assert execution.undo(by="a").run().progress().applied == execution.progress().applied > 0
    check_invariants(connection, ledger=ledger, tables=["public.only_key", "public.long_key"])


def test_a_message_is_never_as_long_as_what_it_tells_of() -> None:
    error = CommandTooLarge(detail="x" * 10_000_000)
    assert len(str(error)) < 2_000
    assert error.detail == "x" * 10_000_000
