"""The sources of an undo: which change sets it takes back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from psycopg import sql

from action_ledger.domain.errors import SchemaDrift, UnknownColumn
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .images import array_of, decoded, gathered, listed, numbered, unnested
from .statements import SQL as WRITER
from .table import Column, Table

SQL = read_blocks("action_ledger.workers", "undo.sql")


@dataclass(frozen=True, slots=True)
class Source:
    """One part of a change set, without its body."""

    owner: UUID
    part: int
    batch_id: UUID
    batch_version: int
    direction: str
    kind: str
    records: int
    columns: list[str]
    types: list[str]
    acted: list[str]
    number: int
    version: int
    status: str
    superseded: bool
    """Whether a later change set of the batch may hold some of its records."""
    partly: bool
    """Whether one of those holds some of its columns only."""
    child_table: str | None
    """The table of children that had gone along with the records; None for the records themselves."""
    via: str | None
    """The foreign key that had set columns of theirs."""
    further_parts: tuple[int, ...] = ()
    """Parts of the same change set and the same form that are read with it."""

    def with_part(self, other: "Source") -> "Source":
        """Read another one with it."""
        return replace(
            self,
            records=self.records + other.records,
            further_parts=(*self.further_parts, other.part),
        )


def find_sources(
    transaction: Transaction,
    *,
    execution_id: UUID | None = None,
    batch_id: UUID | None = None,
    of_undo: UUID | None,
    numbers: Sequence[int] | None = None,
) -> list[Source]:
    """Give the sources for an execution or for one batch of it, newest batch first."""
    cursor = transaction.execute(
        SQL["sources"],
        {
            "execution_id": execution_id,
            "batch_id": batch_id,
            "of_undo": of_undo,
            "numbers": None if numbers is None else list(numbers),
        },
    )
    rows: list[Any] = cursor.fetchall()
    found = [Source(**row) for row in rows]
    # What one of them writes back then supersedes another for its own columns only.
    mixed = batches_by_columns(found)
    return [
        replace(source, partly=True)
        if source.superseded and source.batch_id in mixed and source.kind == "update"
        else source
        for source in found
    ]


def batches_by_columns(sources: Sequence[Source]) -> set[UUID]:
    """Give the batches of which a record may stand in several change sets, each for other columns."""
    own = [source for source in sources if source.kind == "update" and source.child_table is None]
    acted: dict[UUID, set[tuple[str, ...]]] = {}
    for source in own:
        acted.setdefault(source.batch_id, set()).add(tuple(source.acted))
    return {source.batch_id for source in own if source.partly or len(acted[source.batch_id]) > 1}


def write_as_planned(
    transaction: Transaction, table: Table, *, execution_id: UUID, chosen: UUID
) -> None:
    """Write the chosen keys as the execution did, so that they can be found among its own by their text."""
    key = table.key
    names = numbered("k", len(key))
    statement = transaction.compose(
        SQL["as_planned"],
        gathered=array_of([gathered(c, n) for c, n in zip(key, names, strict=True)]),
        keys=listed(
            sql.SQL("{} AS {}").format(own, name)
            for own, name in zip(decoded("u", "k", key), names, strict=True)
        ),
        arrays=listed(unnested("s.keys", key)),
        names=listed(names),
        is_chosen=among_chosen(transaction, key),
    )
    transaction.cursor.execute(statement, {"execution_id": execution_id, "chosen": chosen})


def recorded_columns(
    table: Table, source: Source, needed: Collection[str] | None = None
) -> dict[Column, int]:
    """Find the recorded columns in the table as it is now, each with its place among what was recorded.

    Raises SchemaDrift when one that is ``needed`` is gone or another; None means all. Others are left out then.
    """
    found: dict[Column, int] = {}
    for place, (name, type_) in enumerate(zip(source.columns, source.types, strict=True), 1):
        try:
            found[_as_recorded(table, source, name, type_)] = place
        except SchemaDrift:
            if needed is None or name in needed:
                raise
    return found


def _as_recorded(table: Table, source: Source, name: str, type_: str) -> Column:
    try:
        column = table.column(name)
    except UnknownColumn as error:
        raise SchemaDrift(table=table.label, detail=f"column {name} is gone") from error
    if column.recorded_type != type_:
        raise SchemaDrift(
            table=table.label, detail=f"column {name} was {type_} and is {column.recorded_type}"
        )
    if column.identity_always and source.kind == "update" and name in source.acted:
        raise SchemaDrift(
            table=table.label,
            detail=f"column {name} was written, and is generated always as identity",
        )
    return column


def among_chosen(
    transaction: Transaction, key: Sequence[Column], *, prefix: str = "k"
) -> sql.Composed:
    """Leave out records that the undo was not asked for; ``prefix`` names the columns of their keys."""
    return transaction.compose(
        WRITER["chosen"],
        arrays=listed(unnested("c.keys", key)),
        key_names=listed(numbered("k", len(key))),
        others=listed(decoded("w", "k", key)),
        key=listed(decoded("u", prefix, key)),
    )
