"""The columns in which records did not come back as they had been: what restored except them means."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from psycopg import sql

from action_ledger.projections.store import Transaction

from .images import aliases, decoded, equal, listed, numbered, same_key, unnested, value
from .reading import Reading
from .sources import SQL


def excepted_columns(
    transaction: Transaction,
    reading: Reading,
    owner: UUID,
    parts: Sequence[int],
    *,
    beside: Iterable[Reading],
) -> set[str]:
    """Find the columns in which records did not come back as they had been.

    ``beside`` are the other readings of the compensation: what one of the same rows took back is judged by that one.
    """
    key, captured = reading.table.key, reading.captured
    taken = {
        column
        for other in beside
        if other.source.child_table == reading.source.child_table
        for column in other.acted
    }
    left = taken - {*reading.acted}
    aimed = [
        (n, column)
        for n, column in enumerate(captured, 1)
        if column in reading.aimed and column not in left
    ]
    found: set[str] = set()
    statement = transaction.compose(
        SQL["excepted"],
        differing=sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(
            listed(
                sql.SQL("CASE WHEN bool_or(NOT {}) THEN {} END").format(
                    equal(
                        [column],
                        [value(column, sql.Identifier("x", f"n{n}"))],
                        [sql.Identifier("q", reading.before_name(column))],
                    ),
                    sql.Literal(column.name.replace("%", "%%")),
                )
                for n, column in aimed
            )
        ),
        new_arrays=listed([*unnested("n.keys", key), *unnested("n.after", captured)]),
        new_names=listed([*numbered("k", len(key)), *numbered("n", len(captured))]),
        planned=reading.planned(),
        same_key=same_key(decoded("x", "k", key), aliases("q", "k", len(key))),
    )
    for part in parts:
        values = {
            **reading.parameters,
            "owner": owner,
            "part": part,
            "lo": 1,
            "hi": reading.source.records,
        }
        row = transaction.cursor.execute(statement, values).fetchone()
        found.update(row["columns"] if row else ())
    return found
