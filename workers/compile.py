"""From a request to a change: reads the table as it is now, checks what may be done to it, compiles.

The same is done when an execution is asked for and before each batch, so a table that was altered in between
is noticed before anything is written.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import (
    Actions,
    ExportAction,
    ExportParameters,
    Reversibility,
    UpdateParameters,
)
from action_ledger.domain.effects import Effect
from action_ledger.domain.errors import (
    InvalidParameters,
    IrreversibleCascade,
    PermissionDenied,
    SchemaDrift,
    UnsupportedTable,
)
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.resource import Resource
from action_ledger.domain.selection import Selection, predicate_of
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .builtin import COMPILERS, EVERY_ROW, both
from .builtin import Compiled as Parts
from .catalog import find_table, read_table
from .change import Assignment, Change
from .check import check
from .compiler import Compiler
from .effect_pages import columns_for
from .export_plan import columns_to_export
from .literals import Parameters
from .predicate import compile_predicate
from .table import Table, identifier

_TAKES_ALONG = frozenset("cnd")
"""pg_constraint's letters for cascade, set null and set default."""

SQL = read_blocks("action_ledger.workers", "catalog.sql")

MOST_FIELDS = 1_600
"""Of one row in a query; PostgreSQL's own limit is 1,664."""
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")


NOTHING: Parts = ("update", (), EVERY_ROW)
"""What an effect or an export does to the rows: it reads them, so an update that sets no column stands for it."""


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
    fingerprint: str
    """Of the command: when it is sent again, it must be the same."""
    key: tuple[str, ...] = ()
    """The key's columns when the execution was asked for: key sets mean nothing under another key."""
    adaptive: Adaptive | None = None
    effect: bool = False
    """Whether the action was an effect by then."""
    reversibility: Reversibility = Reversibility.REVERSIBLE
    """The action's, by then."""


class Compiled(NamedTuple):
    """A change, and the same with the condition that picks its records at first."""

    change: Change
    select: Change


def compile_request(transaction: Transaction, actions: Actions, request: Request) -> Compiled:
    """Compile. Raises what is wrong with the table, its columns, the parameters, or what it would take along."""
    parameters = actions.validate(request.action, request.parameters)
    action = actions.get(request.action)
    reads = isinstance(action, Effect | ExportAction)
    table = (
        read_table(
            transaction.cursor, request.resource.table, ledger_schema=transaction.schema_name
        )
        if reads
        else read_for_change(transaction, request.resource.table)
    )
    if table.row_security:
        reason = "it has row-level security, and an execution cannot say yet whose rights count"
        raise UnsupportedTable(table=table.label, reason=reason)
    values = Parameters("v")
    if isinstance(action, Effect):
        columns_for(table, action.columns)
    if isinstance(parameters, ExportParameters):
        columns_to_export(table, parameters.columns)
    kind, assignments, guard = (
        NOTHING
        if reads
        else COMPILERS[request.action](parameters, Compiler(table, request.resource, values))
    )
    if request.reversible and not reads:
        _refuse_cascades(table, kind, assignments)
        _refuse_too_wide(request.action, Change(table, kind, tuple(assignments), EVERY_ROW, {}))
    condition = predicate_of(request.selection)
    predicate = None if condition is None else compile_predicate(condition, table, "t", values)

    def change(match: sql.Composable) -> Change:
        return Change(table, kind, tuple(assignments), match, values.values)

    selected = both(guard, predicate)
    return Compiled(
        change=change(EVERY_ROW if request.frozen else selected), select=change(selected)
    )


def read_for_change(transaction: Transaction, name: str) -> Table:
    """Read a table that is about to be changed, as it will stay until the end of the transaction.

    The lock is the one that the change itself takes. It holds off ALTER TABLE, new triggers and new foreign keys,
    which a change compiled a moment before would know nothing of; so the table is read once that is held.
    """
    ledger = transaction.schema_name
    schema, table = find_table(transaction.cursor, name, ledger_schema=ledger)
    try:
        lock = SQL["lock_table"].format(table=identifier(schema, table))
        transaction.cursor.execute(lock, {})
    except InsufficientPrivilege as error:
        detail = error.diag.message_primary or "a right is missing"
        raise PermissionDenied(table=f"{schema}.{table}", detail=detail) from error
    # By its full name: the name alone might mean another table by now.
    full = sql.Identifier(schema, table).as_string()
    return read_table(transaction.cursor, full, ledger_schema=ledger)


def check_key(table: Table, request: Request) -> None:
    """Raise SchemaDrift when the table has another key by now than its key sets were made of."""
    key = tuple(column.name for column in table.key)
    if key != request.key:
        detail = f"its key was ({', '.join(request.key)}) and is ({', '.join(key)})"
        raise SchemaDrift(table=table.label, detail=detail)


def check_request(
    transaction: Transaction, actions: Actions, request: Request, table: Table
) -> None:
    """Let the server look at every value and expression, without touching a row."""
    parameters = actions.validate(request.action, request.parameters)
    check(
        transaction.cursor,
        table,
        predicate_of(request.selection),
        parameters.values if isinstance(parameters, UpdateParameters) else None,
    )


def _refuse_too_wide(action: str, change: Change) -> None:
    """Refuse what could be done and not be taken back: an undo reads key, before and after side by side."""
    width = len(change.table.key) + 3 * len(change.captured)
    if width > MOST_FIELDS:
        detail = (
            f"the undo of this change of {change.table.label} would need {width} fields in one statement, and "
            f"PostgreSQL takes {MOST_FIELDS}; irreversible() or --irreversible gives it up"
        )
        raise InvalidParameters(action=action, detail=detail)


def _refuse_cascades(table: Table, kind: str, assignments: Sequence[Assignment]) -> None:
    written = [assignment.column for assignment in assignments]
    changed = {column.name for column in (*written, *table.computed_from(written))}
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
