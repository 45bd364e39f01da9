"""A change, compiled: what one action does to one table, in parts of SQL that a statement is put together from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import sql

from action_ledger.domain.actions import Parameters
from action_ledger.domain.record_actions import RecordAction

from .reach import Reach
from .table import Column, Table

Kind = Literal["update", "delete"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A column and the expression that it is set to, over the row ``t``."""

    column: Column
    expression: sql.Composable
    constant: bool = False
    """Whether every record is given the same value."""


@dataclass(frozen=True, slots=True)
class ByRecord:
    """A function that says what is to be done to each record; ``reversible`` says whether it has to come back."""

    action: RecordAction
    parameters: Parameters
    reversible: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What to do to the rows of a batch.

    ``match`` is the condition on row ``t`` that a planned record must still meet; ``parameters`` are the values
    of its and the assignments' placeholders. With ``by_record`` there are no assignments: each record has its own.
    """

    table: Table
    kind: Kind
    assignments: tuple[Assignment, ...]
    match: sql.Composable
    parameters: Mapping[str, Any]
    by_record: ByRecord | None = None
    reach: Reach | None = None
    """The rows of other tables that it takes along, where they are captured."""

    @property
    def acted(self) -> tuple[Column, ...]:
        """The columns that the action itself sets: those in which a later edit is a conflict."""
        if self.kind == "delete":
            return images_of(self.table)
        return tuple(assignment.column for assignment in self.assignments)

    @property
    def moves_keys(self) -> bool:
        """Whether a record has another key afterwards, and another record may then have the one it had.

        The key's columns are assigned, or computed from what is.
        """
        written = [assignment.column for assignment in self.assignments]
        written += self.table.computed_from(written)
        return any(column in self.table.key for column in written)

    @property
    def merges_keys(self) -> bool:
        """Whether every record would have the same key afterwards."""
        constant = {each.column for each in self.assignments if each.constant}
        return constant.issuperset(self.table.key)

    @property
    def captured(self) -> tuple[Column, ...]:
        """The columns of the images: those that are set, or all where a trigger may write others.

        Generated ones come back by themselves. Those of the key that may be computed anew are captured all the
        same, since they tell where the record went.
        """
        if self.kind == "delete":
            return images_of(self.table)
        return images_of_update(self.table, self.acted)


def images_of_update(table: Table, acted: tuple[Column, ...]) -> tuple[Column, ...]:
    """Give the columns of the images of rows in which some columns are set."""
    whole = table.may_swallow("update") or table.may_follow("update")
    written = images_of(table) if whole else acted
    return (*written, *(c for c in table.computed_from(written) if c in table.key))


def images_of(table: Table) -> tuple[Column, ...]:
    """Give the columns of a whole row's image; generated ones come back by themselves."""
    return tuple(column for column in table.columns if not column.generated)
