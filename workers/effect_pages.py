"""Reads the records of a batch for an effect's handler, a page at a time, with what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from action_ledger.domain.context import Context
from action_ledger.projections.store import Transaction

from .change import Change
from .context import assume, require_policies
from .images import columns_of, decoded, listed, numbered, same_key, unnested
from .lease import SQL
from .record_columns import as_python, key_values
from .statements import SQL as WRITER
from .table import Column, Table

PAGE = 200
"""Records read at once: their conditions are looked at a moment before their handlers are called."""


@dataclass(frozen=True, slots=True)
class Found:
    """One record that nothing is kept of yet. ``reason`` says why it is skipped; ``result`` is for an undo."""

    position: int
    key: tuple[str, ...]
    record: Mapping[str, Any]
    reason: str | None
    result: Any


class Pages:
    """The records of one unit: a batch, or the compensation of one."""

    def __init__(
        self,
        transaction: Transaction,
        table: Table,
        columns: Sequence[Column],
        *,
        owner: UUID,
        batch_id: UUID,
        change: Change | None,
        chosen: UUID | None,
        context: Context | None,
    ) -> None:
        """``change`` is what the records must still match; None for a compensation, of ``chosen`` ones if given."""
        self._table = table
        self._columns = tuple(columns)
        self._context = context
        self._values = {
            **(change.parameters if change else {}),
            "owner": owner,
            "batch_id": batch_id,
            "chosen": chosen,
            "page": PAGE,
        }
        parts: dict[str, sql.Composable] = {
            "table": table.identifier,
            "same_key": same_key(columns_of("t", table.key), key_values(table)),
            "columns": sql.SQL(", {}, {} IS NULL AS gone").format(
                listed(self._read()), columns_of("t", table.key)[0]
            ),
        }
        names = numbered("x", len(table.key))
        self._statement = (
            transaction.compose(
                SQL["compensation_page"], **parts, chosen=chosen_keys(transaction, table, chosen)
            )
            if change is None
            else transaction.compose(
                SQL["page"],
                **parts,
                match=change.match,
                key_column=columns_of("t", table.key)[0],
                key_names=listed(names),
                slices=listed(
                    sql.SQL(
                        "(s.keys[{}]::text[])[%(after)s::integer + 1:%(after)s::integer + %(page)s]"
                    ).format(sql.Literal(n))
                    for n in range(1, len(table.key) + 1)
                ),
            )
        )

    def read(self, transaction: Transaction, after: int) -> list[Found]:
        """Read the records of the positions from after one, but for those that something is kept of."""
        assume(transaction, self._context)
        require_policies(transaction, self._table, self._context)
        rows = transaction.cursor.execute(self._statement, {**self._values, "after": after})
        return [
            Found(
                position=row["position"],
                key=tuple(row["key"]),
                record=self._record(row),
                reason=row["reason"],
                result=row["result"],
            )
            for row in rows
        ]

    def _read(self) -> list[sql.Composable]:
        planned = dict(zip(self._table.key, key_values(self._table), strict=True))
        names = numbered("c", len(self._columns))
        found: list[sql.Composable] = []
        for column, name in zip(self._columns, names, strict=True):
            reference: sql.Composable = columns_of("t", [column])[0]
            if column in planned:  # which is all that is left of a record that is gone
                reference = sql.SQL("coalesce({}, {})").format(reference, planned[column])
            found.append(sql.SQL("{} AS {}").format(as_python(column, reference), name))
        return found

    def _record(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            column.name: row[f"c{n}"]
            for n, column in enumerate(self._columns, 1)
            if not row["gone"] or column in self._table.key
        }


def chosen_keys(transaction: Transaction, table: Table, chosen: UUID | None) -> sql.Composable:
    """Leave out records that an undo was not asked for."""
    if chosen is None:
        return sql.SQL("")
    return transaction.compose(
        WRITER["chosen"],
        arrays=listed(unnested("c.keys", table.key)),
        key_names=listed(numbered("k", len(table.key))),
        others=listed(decoded("w", "k", table.key)),
        key=listed(key_values(table)),
    )
