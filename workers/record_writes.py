"""What a record action's function wants changed, written: by one statement for all records with the same columns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from psycopg import sql

from action_ledger.domain.errors import ColumnNotWritable, IrreversibleCascade
from action_ledger.domain.values import encode
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .builtin import EVERY_ROW
from .change import Assignment, ByRecord, Change
from .compile import refuse_too_wide
from .expressions import writable
from .images import aliases, columns_of, listed, numbered, same_key, value
from .literals import literal_text
from .planned import write_of
from .reach import find_reach
from .slices import Slices
from .table import Column, Table
from .write import Owner, Write
from .writer import Writer

SQL = read_blocks("action_ledger.workers", "records.sql")

Row = tuple[str | None, ...]
"""The key's texts, then those of the new values."""


class Writes:
    """The write of records whose changes name the same columns. Those of one page are written at a time."""

    def __init__(
        self,
        transaction: Transaction,
        table: Table,
        names: Sequence[str],
        by_record: ByRecord,
        owner: Owner,
        *,
        divisible: bool,
    ) -> None:
        """Raises UnknownColumn or ColumnNotWritable, and what cannot be taken back though it should be."""
        self._columns = [_writable(table, name) for name in names]
        change = Change(
            table=table,
            kind="update",
            assignments=tuple(
                Assignment(column, sql.SQL("q.{}").format(name))
                for column, name in zip(self._columns, numbered("v", len(names)), strict=True)
            ),
            match=EVERY_ROW,
            parameters={},
        )
        if by_record.reversible:
            refuse_too_wide(by_record.action.name, change)
            _refuse_reach(transaction, change)
        self._names = [f"k{n}" for n in range(1, len(table.key) + 1)]
        self._names += [f"v{n}" for n in range(1, len(names) + 1)]
        self._values: dict[str, Any] = {}
        self._writer = Writer(
            transaction,
            owner,
            self._write(transaction, change),
            self._values,
            ordered=False,
        )
        self.slices = Slices(transaction, self._writer, divisible=divisible)

    def row(self, key: Sequence[str], changes: Mapping[str, Any]) -> Row:
        """Give the texts of one record. Raises InvalidValue."""
        texts = [literal_text(encode(changes[column.name]), column) for column in self._columns]
        return (*key, *texts)

    def apply(self, rows: Sequence[Row], *, part: int, outcomes: int) -> tuple[int, int]:
        """Write the records of a page; give how many parts and outcomes the owner has then."""
        self._writer.part, self._writer.outcomes = part, outcomes
        columns = map(list, zip(*rows, strict=True))
        self._values.update(zip(self._names, columns, strict=True))
        self.slices.apply(1, len(rows))
        self._values.clear()
        return self._writer.part, self._writer.outcomes

    def _write(self, transaction: Transaction, change: Change) -> Write:
        key = change.table.key
        keys = zip(numbered("k", len(key)), key, strict=True)
        values = zip(numbered("v", len(self._columns)), self._columns, strict=True)
        typed = sql.SQL("u.{name}::{type}")
        read = [
            *(
                (value(column, typed.format(name=name, type=column.plain_type_sql)), name)
                for name, column in keys
            ),
            *(
                (typed.format(name=name, type=column.plain_type_sql), name)
                for name, column in values
            ),
        ]
        planned = transaction.compose(
            SQL["changed_records"],
            values=listed(sql.SQL("{} AS {}").format(one, name) for one, name in read),
            names=listed(map(sql.Identifier, self._names)),
            slices=listed(
                sql.SQL("({}::text[])[%(lo)s:%(hi)s]").format(sql.Placeholder(name))
                for name in self._names
            ),
        )
        return replace(
            write_of(transaction, change),
            planned=planned,
            located=same_key(columns_of("t", key), aliases("q", "k", len(key))),
            at_once=None,
        )


def _refuse_reach(transaction: Transaction, change: Change) -> None:
    """Refuse what would write rows of other tables: of a record action, those are not captured."""
    reach = find_reach(transaction, change.table, "update", change.acted)
    if reach is not None:
        reference = reach.links[0].reference
        raise IrreversibleCascade(
            table=change.table.label,
            referencing=f"{reference.schema}.{reference.table}",
            constraint=reference.constraint,
            reason="what a record action takes along is not captured",
        )


def _writable(table: Table, name: str) -> Column:
    column = writable(table, name)
    if column in (*table.key, *_computing(table)):
        reason = "it is part of the key, by which a record action finds its records"
        raise ColumnNotWritable(table=table.label, column=name, reason=reason)
    return column


def _computing(table: Table) -> list[Column]:
    """Give the columns that a part of the key is computed from."""
    names = {name for column in table.key for name in column.computed_from}
    return [column for column in table.columns if column.name in names]
