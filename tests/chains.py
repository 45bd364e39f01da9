"""What tests of chains share: three tables, a chain over them whose last step can be made to fail, and its story."""

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.ops import ChainHandle, Ledger
from action_ledger.ops.builder import Request
from action_ledger.ops.chain_builder import ChainRequest

TABLES = ("first", "second", "third")
RECORDS = 30


def make_tables(connection: Connection[DictRow]) -> None:
    """Make three tables of records with ids from 1, each with a score that is its id."""
    for table in TABLES:
        connection.execute(
            f"CREATE TABLE {table} (id bigint PRIMARY KEY, score bigint NOT NULL, note text)".encode()
        )
        connection.execute(
            f"INSERT INTO {table} SELECT i, i, NULL FROM generate_series(1, {RECORDS}) i".encode()
        )


def break_third(connection: Connection[DictRow]) -> None:
    """Let the last table take no score that was raised: its step fails."""
    connection.execute("ALTER TABLE third ADD CONSTRAINT as_it_was CHECK (score <= id)")


def add_one(ledger: Ledger, table: str, *, on_locked: str = "fail") -> Request:
    """Add 1 to every score, in three batches."""
    request = ledger.on(table).all().update(score=col("score") + 1)
    return request.batch_size(RECORDS // 3).on_locked(on_locked)


def three(ledger: Ledger, *, on_locked: str = "fail") -> ChainRequest:
    """Add 1 in each of the tables, one after the other."""
    first, second, third = (add_one(ledger, table, on_locked=on_locked) for table in TABLES)
    return first.then(second).then(third).by("user:1", reason="T-1")


def added(connection: Connection[DictRow]) -> list[list[int]]:
    """Give, for each table, which numbers have been added to its scores."""
    return [added_in(connection, table) for table in TABLES]


def added_in(connection: Connection[DictRow], table: str) -> list[int]:
    """Give which numbers have been added to the scores of one table."""
    statement = f"SELECT DISTINCT score - id AS n FROM {table} ORDER BY 1"
    return [row["n"] for row in connection.execute(statement.encode()).fetchall()]


def story(chain: ChainHandle) -> list[str]:
    """Give the topics of a chain's stream, without their first word."""
    return [one.event.TOPIC.removeprefix("chain.") for one in chain.events()]


def states(chain: ChainHandle) -> list[str]:
    """Give where each step stands."""
    return [step.status for step in chain.steps()]
