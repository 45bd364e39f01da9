"""Reads from the catalog what an action must know of a user's table.

Read once per transaction, in one statement, under the lock that keeps the table as it is.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from psycopg import Cursor, sql
from psycopg.errors import InsufficientPrivilege

from action_ledger.domain.errors import (
    NoPrimaryKey,
    PermissionDenied,
    UnknownTable,
    UnsupportedTable,
)
from action_ledger.projections.sql_blocks import Fixed, read_blocks, trusted
from action_ledger.projections.store import Transaction

from .table import TRIGGER_BITS, Column, Reference, Table, identifier

SQL = read_blocks("action_ledger.workers", "catalog.sql")

FIND_TABLE, READ_TABLE = (
    Fixed(SQL[block].format(named=SQL["named"])) for block in ("find_table", "read_table")
)

LEDGER_SCHEMA = "action_ledger"
IDENTIFIER_BYTES = 63
SYSTEM_SCHEMAS = frozenset({"pg_catalog", "information_schema", "pg_toast"})
TABLES = frozenset({"r", "p"})
KINDS = {
    "v": "it is a view",
    "m": "it is a materialized view",
    "f": "it is a foreign table",
    "S": "it is a sequence",
    "i": "it is an index",
    "I": "it is an index",
    "c": "it is a composite type",
    "t": "it is a system table",
}


def find_table(
    cursor: Cursor[dict[str, Any]], name: str, *, ledger_schema: str = LEDGER_SCHEMA
) -> tuple[str, str]:
    """Find where the table of a name is: its schema and its name. Raises UnknownTable or UnsupportedTable."""
    row = _row(cursor, FIND_TABLE, name)
    return _supported(row, ledger_schema)


def read_table(
    cursor: Cursor[dict[str, Any]], name: str, *, ledger_schema: str = LEDGER_SCHEMA
) -> Table:
    """Read the table ``schema.table``, or ``table`` on the search path; parts may be "quoted" as in SQL.

    Raises UnknownTable, UnsupportedTable or NoPrimaryKey.
    """
    return _table(_row(cursor, READ_TABLE, name), ledger_schema)


def _table(row: dict[str, Any], ledger_schema: str) -> Table:
    schema, table = _supported(row, ledger_schema)
    if not row["key"]:
        raise NoPrimaryKey(table=f"{schema}.{table}")
    columns = {column["name"]: Column.from_json(column) for column in row["columns"]}
    return Table(
        oid=row["oid"],
        schema=schema,
        name=table,
        columns=tuple(columns.values()),
        key=tuple(columns[part] for part in row["key"]),
        writes=_events(row["triggers"]),
        followed=_events(row["after_triggers"]),
        referenced_by=tuple(Reference.from_json(item) for item in row["referenced_by"] or ()),
        row_security=row["row_security"],
        partitioned=row["kind"] == "p",
    )


def read_for_change(transaction: Transaction, name: str) -> Table:
    """Read a table that is about to be changed, as it will stay until the end of the transaction.

    The lock is the one that the change itself takes. It holds off ALTER TABLE, new triggers and new foreign keys,
    which a change compiled a moment before would know nothing of; so the table is read once that is held.
    """
    ledger = transaction.schema_name
    schema, table = find_table(transaction.cursor, name, ledger_schema=ledger)
    try:
        lock = SQL["lock_table"].format(table=identifier(schema, table))
        transaction.cursor.execute(lock, {})
    except InsufficientPrivilege as error:
        detail = error.diag.message_primary or "a right is missing"
        raise PermissionDenied(table=f"{schema}.{table}", detail=detail) from error
    # By its full name: the name alone might mean another table by now.
    row = transaction.cursor.execute(_read_exactly(schema, table)).fetchone()
    if row is None:
        raise UnknownTable(table=name)
    return _table(row, ledger)


@lru_cache(maxsize=128)
def _read_exactly(schema: str, table: str) -> Fixed:
    """Read one table. The server keeps the plan of a statement without parameters, and makes it for no value anew."""
    named = SQL["named_exactly"].format(schema=sql.Literal(schema), table=sql.Literal(table))
    block = trusted(SQL["read_table"].as_string().replace("%%", "%"))
    return Fixed(block.format(named=named))


def _row(cursor: Cursor[dict[str, Any]], block: Fixed, name: str) -> dict[str, Any]:
    schema, table = _parts(name)
    row = cursor.execute(
        block,
        {
            "schema": schema and schema[0],
            "folded_schema": schema and schema[1],
            "table": table[0],
            "folded_table": table[1],
        },
    ).fetchone()
    if row is None:
        elsewhere = cursor.execute(SQL["elsewhere"], {"table": table[0], "folded_table": table[1]})
        raise UnknownTable(table=name, suggestions=tuple(one["name"] for one in elsewhere))
    return row


def _supported(row: dict[str, Any], ledger_schema: str) -> tuple[str, str]:
    schema, table = str(row["schema"]), str(row["name"])
    if reason := _unsupported(row, ledger_schema):
        raise UnsupportedTable(table=f"{schema}.{table}", reason=reason)
    return schema, table


def _events(bits: int) -> frozenset[str]:
    return frozenset(event for event, bit in TRIGGER_BITS.items() if bits & bit)


def _unsupported(row: dict[str, Any], ledger_schema: str) -> str | None:
    kind = row["kind"]
    reasons = (
        (row["schema"] in SYSTEM_SCHEMAS, "it belongs to the system"),
        (row["schema"] == ledger_schema, "it belongs to the ledger"),
        (kind not in TABLES, KINDS.get(kind, "it is not a table")),
        (row["temporary"], "it is temporary, and other sessions cannot see it"),
        (
            row.get("rules"),
            "it has rewrite rules, which may do something else than the action says",
        ),
        (
            kind == "r" and row.get("inherited"),
            "other tables inherit from it, and its primary key does not count for their rows",
        ),
    )
    return next((reason for applies, reason in reasons if applies), None)


PART = re.compile(r'"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>[^".]+)')


def _parts(name: str) -> tuple[tuple[str, str] | None, tuple[str, str]]:
    """Split a name into schema and table, each as written and as SQL folds it."""
    parts: list[tuple[str, str]] = []
    rest = name.strip()
    while match := PART.match(rest):
        bare, quoted = match["bare"], match["quoted"]
        parts.append(
            (bare.strip(), bare.strip().lower())
            if bare
            else ((text := quoted.replace('""', '"')), text)
        )
        rest = rest[match.end() :]
        if not rest.startswith("."):
            break
        rest = rest[1:] or "."
    if rest or not 1 <= len(parts) <= 2 or any(_impossible(part[0]) for part in parts):  # noqa: PLR2004
        raise UnknownTable(table=name)
    return _pair(parts)


def _pair(parts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str] | None, tuple[str, str]]:
    return (None, parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def _impossible(part: str) -> bool:
    # A cast to the type name would cut a longer one short, and so find another table.
    try:
        return not part or "\0" in part or len(part.encode()) > IDENTIFIER_BYTES
    except UnicodeEncodeError:
        return True
