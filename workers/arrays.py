"""Reads bulk data in Python: its columns are the texts of arrays."""

from collections.abc import Sequence

from psycopg.adapt import Transformer
from psycopg.pq import Format

from action_ledger.projections.store import Transaction

TEXT_ARRAY = 1009
"""The type id of text[], in PostgreSQL for ever."""


class Arrays:
    """Takes the texts of arrays apart, as one connection writes them."""

    def __init__(self, transaction: Transaction) -> None:
        self._loader = Transformer(transaction.connection).get_loader(TEXT_ARRAY, Format.TEXT)

    def columns(self, texts: Sequence[str] | None) -> list[list[str | None]]:
        """Give the values of each column as PostgreSQL's text."""
        return [self._loader.load(text.encode()) for text in texts or ()]


def record_at(
    names: Sequence[str] | None, columns: Sequence[Sequence[str | None]], record: int
) -> dict[str, str | None] | None:
    """Put one record's values together, by column; None where there are none."""
    if not names or not columns:
        return None
    return {name: column[record] for name, column in zip(names, columns, strict=True)}
