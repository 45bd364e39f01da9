"""The history of one record: every change that the ledger made to it, with who, why, before and after."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql
from pydantic import BaseModel, ConfigDict

from action_ledger.domain.context import Context
from action_ledger.domain.errors import ContextRequired, shown
from action_ledger.domain.values import encode
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store, Transaction
from action_ledger.workers.catalog import read_table
from action_ledger.workers.images import array_of, array_type, listed, numbered, unnested
from action_ledger.workers.keys import key_texts, keys_checked
from action_ledger.workers.table import Table, reference_of

SQL = read_blocks("action_ledger.ops", "reads.sql")
_COLLATED = frozenset({"text", "character varying", "character", "bpchar", "name", "citext"})


class HistoryEntry(BaseModel):
    """One change of one record. Values are PostgreSQL's text of them, under ISO settings.

    ``before`` is None for a record that an undo brought back, ``after`` for one that was deleted.
    """

    model_config = ConfigDict(frozen=True)

    position: int
    recorded_at: datetime
    actor: str
    action: str
    reason: str | None
    direction: str
    kind: str
    execution_id: UUID
    undo_id: UUID | None
    before: dict[str, str | None] | None
    after: dict[str, str | None] | None


def read_history(
    store: Store, table_name: str, key: object, context: Context | None = None
) -> list[HistoryEntry]:
    """Read what was done to one record, oldest first. ``key`` is a tuple where the key has several columns.

    With a context, what was done in it. Raises ContextRequired where a table with row-level security wants one.
    """
    with store.transaction() as transaction:
        table = read_table(transaction.cursor, table_name)
        if table.row_security and context is None:
            raise ContextRequired(table=table.label, reason="its history is that of one context")
        values = {f"key{n}": text for n, text in enumerate(key_texts(table, encode(key)))}
        with keys_checked(table, value=shown(key)):
            held = transaction.cursor.execute(
                _compose_holding(transaction, table),
                {
                    **values,
                    "table": reference_of(table),
                    "context": None if context is None else context.model_dump_json(),
                },
            ).fetchall()
        entries = [_entry(transaction, table, row, values) for row in held]
    return [entry for entry in entries if entry is not None]


def has_ranges(table: Table) -> bool:
    """Say whether a batch's first and last key tell what can be in it.

    Not those of texts: their order in a batch is that of the column's collation, which may be another by now.
    """
    return not any(column.plain_type in _COLLATED for column in table.key)


def _compose_holding(transaction: Transaction, table: Table) -> sql.Composed:
    return transaction.compose(SQL["holding"], in_range=_in_range(table))


def _in_range(table: Table) -> sql.Composable:
    """Leave out batches whose first and last key say that the record is not among them."""
    if not has_ranges(table):
        return sql.SQL("true")

    def bound(field: str) -> sql.Composable:
        return listed(
            sql.SQL("{}[{}]::{}").format(
                sql.Identifier("k", field), sql.Literal(n), column.plain_type_sql
            )
            for n, column in enumerate(table.key, 1)
        )

    return sql.SQL("({key}) >= ({first}) AND ({key}) <= ({last})").format(
        key=listed(_key(table)), first=bound("first_key"), last=bound("last_key")
    )


def _entry(
    transaction: Transaction, table: Table, row: dict[str, Any], values: dict[str, str]
) -> HistoryEntry | None:
    columns: list[str] = row["columns"]
    names = numbered("k", len(table.key))
    arrays = unnested("s.keys", table.key)
    fields: dict[str, list[sql.Identifier]] = {}
    for field, absent in (("before", "insert"), ("after", "delete")):
        fields[field] = [] if row["kind"] == absent else numbered(field[0], len(columns))
        names += fields[field]
        if fields[field]:
            arrays += [
                _texts(table, field, n, name, type_)
                for n, (name, type_) in enumerate(zip(columns, row["types"], strict=True), 1)
            ]
    statement = transaction.compose(
        SQL["images_of_key"],
        before=_as_texts(fields["before"]),
        after=_as_texts(fields["after"]),
        arrays=listed(arrays),
        names=listed(names),
        same_key=sql.SQL(" AND ").join(
            sql.SQL("u.{}::{} = {}").format(name, column.plain_type_sql, value)
            for name, column, value in zip(
                numbered("k", len(table.key)), table.key, _key(table), strict=True
            )
        ),
    )
    found = transaction.cursor.execute(
        statement, {**values, "owner": row["owner"], "part": row["part"]}
    ).fetchone()
    if found is None:
        return None
    images = {
        field: dict(zip(columns, found[field], strict=True)) if present else None
        for field, present in fields.items()
    }
    known = {name: row[name] for name in HistoryEntry.model_fields.keys() - images.keys()}
    return HistoryEntry.model_validate(known | images)


def _texts(table: Table, field: str, n: int, name: str, type_: str) -> sql.Composable:
    """Read a recorded column as texts; one that is gone, or of another type now, as it was written."""
    array = sql.SQL("{}[{}]").format(sql.Identifier("s", field), sql.Literal(n))
    for column in table.columns:
        if column.name == name and column.recorded_type == type_:
            return sql.SQL("{}::{}::text[]").format(array, array_type(column))
    return sql.SQL("{}::text[]").format(array)


def _as_texts(names: list[sql.Identifier]) -> sql.Composable:
    return array_of([sql.SQL("u.{}").format(name) for name in names])


def _key(table: Table) -> list[sql.Composable]:
    return [
        sql.SQL("{}::{}").format(sql.Placeholder(f"key{n}"), column.plain_type_sql)
        for n, column in enumerate(table.key)
    ]
