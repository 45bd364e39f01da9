"""Keys as callers give them: one text a key column, or an error that says what is wrong."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import DataError

from action_ledger.domain.errors import InvalidValue, shown
from action_ledger.domain.selection import KeyValue
from action_ledger.domain.values import plain

from .literals import literal_text
from .table import Table


def key_texts(table: Table, key: KeyValue) -> Sequence[Any]:
    """Give a key as one text a key column. Raises InvalidValue when it has another number of parts, or a null."""
    parts = key if isinstance(key, tuple) and len(table.key) > 1 else (key,)
    if len(parts) != len(table.key):
        names = ", ".join(column.name for column in table.key)
        detail = f"the key of {table.label} is ({names}): give one value for each"
        raise InvalidValue(value=shown(plain(key)), detail=detail, table=table.label)
    if None in parts:
        raise InvalidValue(value=shown(plain(key)), detail="a key is never null", table=table.label)
    return [literal_text(part, column) for part, column in zip(parts, table.key, strict=True)]


@contextmanager
def keys_checked(table: Table, *, value: str = "among the keys") -> Generator[None]:
    """Raise InvalidValue where the server finds that a key is no value of its column's type."""
    try:
        yield
    except DataError as error:
        column = (
            table.key[0] if len(table.key) == 1 else None
        )  # of several nobody says which it was
        raise InvalidValue(
            value=value,
            detail=error.diag.message_primary or "it is not valid",
            table=table.label,
            column=column.name if column else None,
            column_type=column.type if column else None,
        ) from error
