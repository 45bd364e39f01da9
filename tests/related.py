"""A shop whose tables refer to each other in every way that takes rows along, and what is asked of it."""

from collections.abc import Iterable

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import ExecutionHandle, Ledger
from tests.dump import dump_table
from tests.invariants import check_invariants

TABLES = ("customers", "orders", "items", "reviews", "carts", "staff")
SCHEMA = (
    "CREATE TABLE customers (id int PRIMARY KEY, name text)",
    "CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers ON DELETE CASCADE, note text UNIQUE)",
    (
        "CREATE TABLE items (order_id int REFERENCES orders ON DELETE CASCADE, n int, customer int"
        " REFERENCES customers ON DELETE CASCADE, twice int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (order_id, n))"
    ),
    (
        "CREATE TABLE reviews (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),"
        " customer int REFERENCES customers ON DELETE SET NULL, helped int REFERENCES customers ON DELETE SET NULL, body text)"
    ),
    (
        "CREATE TABLE carts (id int PRIMARY KEY, customer int NOT NULL DEFAULT 0"
        " REFERENCES customers ON DELETE SET DEFAULT)"
    ),
    (
        "CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff ON DELETE CASCADE,"
        " mentor int REFERENCES staff ON DELETE SET NULL, buddy int REFERENCES staff)"
    ),
    "INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(0, 20) i",
    "INSERT INTO orders SELECT i, i % 21, 'order ' || i FROM generate_series(1, 60) i",
    "INSERT INTO items SELECT 1 + i % 60, i, 1 + i % 20 FROM generate_series(1, 200) i",
    "INSERT INTO reviews (customer, helped, body) SELECT i % 21, i % 4, 'review ' || i FROM generate_series(1, 50) i",
    "INSERT INTO carts SELECT i, i % 21 FROM generate_series(1, 50) i",
    (
        "INSERT INTO staff SELECT i, nullif(i / 2, 0), CASE WHEN i > 3 THEN i - 3 END, nullif(i % 4, 0)"
        " FROM generate_series(1, 31) i"
    ),
)

Dump = dict[str, list[str]]


def dump(connection: Connection[DictRow]) -> Dump:
    return {table: dump_table(connection, f"public.{table}") for table in TABLES}


def delete(ledger: Ledger, table: str, *keys: int, size: int = 100) -> ExecutionHandle:
    done = ledger.on(table).keys(keys).delete(hard=True).by("t").batch_size(size).run()
    assert (done.status, done.progress().applied) == ("completed", len(keys)), list(done.failures())
    return done


def check(ledger: Ledger, connection: Connection[DictRow], *, touched: Iterable[str] = ()) -> None:
    tables = [f"public.{table}" for table in TABLES]
    check_invariants(connection, ledger=ledger, tables=tables, touched=touched)
