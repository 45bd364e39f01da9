"""What a write is: a change of planned records, in the parts that its statement is put together from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple
from uuid import UUID

from psycopg import Error, sql

from action_ledger.projections.sql_blocks import Fixed

from .change import Assignment
from .faults import message_of
from .table import Column, Table


@dataclass(frozen=True, slots=True)
class Owner:
    """To whom the bulk data of a write belongs: a batch, or a compensation of one."""

    id: UUID
    batch_id: UUID
    execution_id: UUID
    undo_id: UUID | None
    batch_version: int
    direction: Literal["do", "undo", "redo"]
    child_table: str | None = None
    """The table of captured children that are brought back; None for the records themselves."""
    via: str | None = None
    """The foreign key that had set columns of theirs."""

    @property
    def values(self) -> dict[str, object]:
        """Its part of a statement's values."""
        return {
            "owner": self.id,
            "batch_id": self.batch_id,
            "execution_id": self.execution_id,
            "undo_id": self.undo_id,
            "child_table": self.child_table,
            "via": self.via,
        }


@dataclass(frozen=True, slots=True)
class Write:
    """What a statement is put together from. Planned records are ``q``, rows of the table are ``t``.

    The values of its placeholders are no part of it.
    """

    table: Table
    kind: Literal["update", "delete", "insert"]
    planned: sql.Composable
    located: sql.Composable
    """Which row is a planned record's."""
    at_once: sql.Composable | None
    """Which rows are those of all planned records, where a row's key says all that is known of its record."""
    match: sql.Composable
    """What must be true of the row for it to be changed."""
    assignments: tuple[Assignment, ...]
    captured: tuple[Column, ...]
    acted: tuple[Column, ...]
    target: tuple[str | None, ...]
    """For an undo: the columns of ``q`` that say what each captured column should become, None for one that is to stay
    as it is. Otherwise empty."""
    recorded: tuple[str, ...]
    """For an undo: the columns of ``q`` that say what the ledger had written to each acted-on column."""
    reason: sql.Composable
    """Why a planned record was not changed, as an expression over ``q`` and ``t``."""

    def __post_init__(self) -> None:
        """Fix the parts as text: writes that say the same are equal, and share their statements."""
        for name in ("planned", "located", "at_once", "match", "reason"):
            part = getattr(self, name)
            if part is not None and not isinstance(part, Fixed):
                object.__setattr__(self, name, Fixed(part))
        fixed = (replace(a, expression=Fixed(a.expression)) for a in self.assignments)
        object.__setattr__(self, "assignments", tuple(fixed))


@dataclass(slots=True)
class Written:
    """What came of one statement: a part of the owner's change set, or none when nothing was changed."""

    records: int
    part: int
    digest: str | None
    inexact: bool
    children: Sequence["Child"] = ()


@dataclass(slots=True)
class Child:
    """Rows of another table that were captured with it: a part of the change set of their own."""

    table: str
    part: int
    records: int
    digest: str


class ChangedElsewhere(Exception):  # noqa: N818 - it says what happened, as the errors of the domain do
    """Something else than the statement changed rows with it."""

    sqlstate = "27000"
    """PostgreSQL's triggered_data_change_violation."""


class Refusal(NamedTuple):
    """What is listed of a record that could not be changed."""

    sqlstate: str
    constraint: str | None
    message: str


def refusal_of(error: Error | ChangedElsewhere) -> Refusal:
    """Say why a record was refused."""
    if isinstance(error, Error):
        return Refusal(error.sqlstate or "", error.diag.constraint_name, message_of(error))
    return Refusal(error.sqlstate, None, str(error))


class KeyRewritten(ChangedElsewhere):
    """A trigger gave a row that was inserted again another key, so that nobody would know whose it is."""


class ReachDiffers(ChangedElsewhere):
    """Other rows went through foreign keys than were captured: a trigger had a hand in it."""
