"""From a request to a change: reads the table as it is now, checks what may be done to it, compiles.

The same is done when an execution is asked for and before each batch, so a table that was altered in between
is noticed before anything is written.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import sql
from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import Actions, UpdateParameters
from action_ledger.domain.errors import IrreversibleCascade, UnsupportedTable
from action_ledger.domain.resource import Resource
from action_ledger.domain.selection import Selection, Where
from action_ledger.projections.store import Transaction

from .builtin import COMPILERS, EVERY_ROW, both
from .catalog import Table, read_table
from .change import Assignment, Change
from .check import check
from .compiler import Compiler
from .literals import Parameters
from .predicate import compile_predicate

_TAKES_ALONG = frozenset("cnd")
"""pg_constraint's letters for cascade, set null and set default."""

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


class Request(BaseModel):
    """What a request said that events must not hold: it is kept apart, and read again for each batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource: Resource
    action: str
    parameters: dict[str, Any]
    selection: Selection
    frozen: bool
    reversible: bool
    reason: str | None


class Compiled(NamedTuple):
    """A change, and the same with the condition that picks its records at first."""

    change: Change
    select: Change


def compile_request(transaction: Transaction, actions: Actions, request: Request) -> Compiled:
    """Compile. Raises what is wrong with the table, its columns, the parameters, or what it would take along."""
    parameters = actions.validate(request.action, request.parameters)
    table = read_table(
        transaction.cursor, request.resource.table, ledger_schema=transaction.schema_name
    )
    if table.row_security:
        reason = "it has row-level security, and an execution cannot say yet whose rights count"
        raise UnsupportedTable(table=table.label, reason=reason)
    values = Parameters("v")
    kind, assignments, guard = COMPILERS[request.action](
        parameters, Compiler(table, request.resource, values)
    )
    if request.reversible:
        _refuse_cascades(table, kind, assignments)
    predicate = (
        compile_predicate(request.selection.predicate, table, "t", values)
        if isinstance(request.selection, Where)
        else None
    )

    def change(match: sql.Composable) -> Change:
        return Change(table, kind, tuple(assignments), match, values.values)

    selected = both(guard, predicate)
    return Compiled(
        change=change(EVERY_ROW if request.frozen else selected), select=change(selected)
    )


def check_request(
    transaction: Transaction, actions: Actions, request: Request, table: Table
) -> None:
    """Let the server look at every value and expression, without touching a row."""
    parameters = actions.validate(request.action, request.parameters)
    check(
        transaction.cursor,
        table,
        request.selection.predicate if isinstance(request.selection, Where) else None,
        parameters.values if isinstance(parameters, UpdateParameters) else None,
    )


def _refuse_cascades(table: Table, kind: str, assignments: Sequence[Assignment]) -> None:
    changed = {assignment.column.name for assignment in assignments}
    for reference in table.referenced_by:
        reached = (
            reference.on_delete in _TAKES_ALONG
            if kind == "delete"
            else reference.on_update in _TAKES_ALONG and changed & set(reference.referenced)
        )
        if reached:
            raise IrreversibleCascade(
                table=table.label, referencing=f"{reference.schema}.{reference.table}"
            )


def reference_of(table: Table) -> str:
    """Name a table as events do: with its schema, quoted where SQL needs it."""
    return ".".join(
        name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'
        for name in (table.schema, table.name)
    )
