"""How a record is given to a function of the host's own: which columns, and each as what."""

from collections.abc import Sequence

from psycopg import sql

from .images import value
from .table import Column, Table

_AS_THEY_ARE = frozenset(
    {
        "bigint",
        "boolean",
        "character",
        "character varying",
        "double precision",
        "integer",
        "json",
        "jsonb",
        "numeric",
        "real",
        "smallint",
        "text",
        "uuid",
    }
)
"""Types whose every value Python has too. A date may be infinite, and there are more types than anybody knows."""


def as_python(column: Column, reference: sql.Composable) -> sql.Composable:
    """Give a value as Python has it, or else PostgreSQL's text of it; a time with a zone in the form of ISO 8601."""
    if column.plain_type in _AS_THEY_ARE:
        return reference
    if column.plain_type == "timestamp with time zone":
        return sql.SQL("(to_json({}) #>> '{{}}')").format(reference)
    return sql.SQL("{}::text").format(reference)


def columns_for(table: Table, wanted: Sequence[str] | None) -> list[Column]:
    """Give the columns that a record is read with: those of the key in any case. Raises UnknownColumn."""
    if wanted is None:
        return list(table.columns)
    chosen = [table.column(name) for name in dict.fromkeys(wanted)]
    return [*table.key, *(column for column in chosen if column not in table.key)]


def key_values(table: Table) -> list[sql.Composable]:
    """Read a key that is kept as texts, ``q.key``, as values of the key's columns."""
    return [
        value(column, sql.SQL("q.key[{}]::{}").format(sql.Literal(n), column.plain_type_sql))
        for n, column in enumerate(table.key, 1)
    ]
