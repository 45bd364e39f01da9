"""What is in the way of a preview: records that others have locked, and the sessions that may hold them."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .images import aliases, columns_of, same_key
from .planned import planned_keys
from .table import Table

SQL = read_blocks("action_ledger.workers", "preview.sql")
HELD = frozenset({"55P03", "40P01"})
"""Lock not available, deadlock: others are in the way."""


class Holder(BaseModel):
    """A session that has written to the table, or locked rows of it, and whose transaction is still open."""

    model_config = ConfigDict(frozen=True)

    pid: int
    application: str | None
    login: str | None
    state: str | None
    since: datetime | None


class Held(BaseModel):
    """What others hold of what a preview wanted to try."""

    model_config = ConfigDict(frozen=True)

    records: int
    """Of the records themselves; 0 where it is something else, such as a row that a foreign key leads to."""
    holders: tuple[Holder, ...]


def look_in_the_way(
    transaction: Transaction, table: Table, slices: Iterable[tuple[UUID, int]]
) -> Held:
    """Say how many of the first records of some batches others hold, and who may. It waits for nobody."""
    planned = planned_keys(transaction, table)
    key = same_key(columns_of("t", table.key), aliases("q", "k", len(table.key)))
    locked = transaction.compose(
        SQL["locked"], planned=planned, table=table.identifier, same_key=key
    )
    records = 0
    for batch_id, most in slices:
        values = {"batch_id": batch_id, "lo": 1, "hi": most}
        row = transaction.cursor.execute(locked, values).fetchone()
        records += row["records"] if row else 0
    holders = transaction.execute(SQL["holders"], {"table": table.oid}).fetchall()
    return Held(records=records, holders=tuple(Holder(**row) for row in holders))
