"""From a request to a change: reads the table as it is now, checks what may be done to it, compiles.

The same is done when an execution is asked for and before each batch, so a table that was altered in between
is noticed before anything is written.
"""

from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import (
    Action,
    Actions,
    ExportAction,
    ExportParameters,
    Reversibility,
    UpdateParameters,
)
from action_ledger.domain.actions import Parameters as ActionParameters
from action_ledger.domain.context import Context
from action_ledger.domain.effects import Effect
from action_ledger.domain.errors import (
    InvalidParameters,
    SchemaDrift,
)
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.record_actions import RecordAction
from action_ledger.domain.record_lock import OnLocked
from action_ledger.domain.resource import Resource
from action_ledger.domain.selection import Selection, predicate_of
from action_ledger.domain.set_actions import KeptChanges, SetAction, TableShape
from action_ledger.projections.store import Transaction

from .builtin import COMPILERS, EVERY_ROW, both
from .builtin import Compiled as Parts
from .catalog import read_for_change, read_table
from .change import ByRecord, Change
from .check import check
from .compiler import Compiler
from .context import assume, require_policies
from .export_plan import columns_to_export
from .literals import Parameters
from .predicate import compile_predicate
from .reach import Reach, find_reach
from .record_columns import columns_for
from .table import Table

MOST_FIELDS = 1_600
"""Of one row in a query; PostgreSQL's own limit is 1,664."""

NOTHING: Parts = ("update", (), EVERY_ROW)
"""What is known of an export, and of what a function does: it reads rows, so an update that sets no column stands for it."""


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
    on_locked: OnLocked | None = None
    """What is done about records that others have locked; None where nobody said."""
    kept: bool = False
    """Whether its key sets were cut before it was asked for."""
    changes: KeptChanges | None = None
    """What a set action's function said, when it was asked."""
    preview_id: UUID | None = None
    """The preview that confirmed it."""
    context: Context | None = None
    """Whose rights it has."""
    max_records: int | None = None
    """How many records it may have, by the limits of then."""


class Compiled(NamedTuple):
    """A change, and the same with the condition that picks its records at first."""

    change: Change
    select: Change
    request: Request
    """The request with what the action's own function said of it."""


def compile_request(transaction: Transaction, actions: Actions, request: Request) -> Compiled:
    """Compile, and let the transaction have the request's context from here on, until it appends.

    Raises what is wrong with the context, the table, its columns, the parameters, or what it would take along.
    """
    assume(transaction, request.context)
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
    require_policies(transaction, table, request.context)
    values = Parameters("v")
    request = _asked(action, request, parameters, table)
    kind, assignments, guard = _parts(action, request, parameters, table, values)
    reach: Reach | None = None
    if request.reversible and not reads:
        reach = find_reach(transaction, table, kind, [each.column for each in assignments])
        refuse_too_wide(request.action, Change(table, kind, tuple(assignments), EVERY_ROW, {}))
    condition = predicate_of(request.selection)
    predicate = None if condition is None else compile_predicate(condition, table, "t", values)
    by_record = (
        ByRecord(action, parameters, reversible=request.reversible)
        if isinstance(action, RecordAction)
        else None
    )

    def change(match: sql.Composable) -> Change:
        return Change(
            table, kind, tuple(assignments), match, values.values, by_record=by_record, reach=reach
        )

    selected = both(guard, predicate)
    return Compiled(
        change=change(EVERY_ROW if request.frozen else selected),
        select=change(selected),
        request=request,
    )


def _asked(action: Action, request: Request, parameters: ActionParameters, table: Table) -> Request:
    """Ask a set action's function, once for an execution."""
    if not isinstance(action, SetAction) or request.changes is not None:
        return request
    shape = TableShape(
        name=table.label,
        columns={column.name: column.type for column in table.columns},
        key=tuple(column.name for column in table.key),
    )
    return request.model_copy(update={"changes": action.changes(parameters, shape)})


def _parts(
    action: Action,
    request: Request,
    parameters: ActionParameters,
    table: Table,
    values: Parameters,
) -> Parts:
    """Compile what an action does to the rows of a table."""
    if isinstance(action, Effect | RecordAction):
        columns_for(table, action.columns)
        return NOTHING
    if isinstance(parameters, ExportParameters):
        columns_to_export(table, parameters.columns)
        return NOTHING
    compiler = Compiler(table, request.resource, values)
    if request.changes is not None:
        where = request.changes.where
        return (
            "update",
            [compiler.assign(name, value) for name, value in request.changes.values.items()],
            EVERY_ROW if where is None else compile_predicate(where, table, "t", values),
        )
    return COMPILERS[request.action](parameters, compiler)


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
    predicate, changes = predicate_of(request.selection), request.changes
    check(
        transaction.cursor,
        table,
        predicate,
        parameters.values if isinstance(parameters, UpdateParameters) else None,
    )
    if changes is not None:
        check(transaction.cursor, table, changes.where, changes.values)


def refuse_too_wide(action: str, change: Change) -> None:
    """Refuse what could be done and not be taken back: an undo reads key, before and after side by side."""
    width = len(change.table.key) + 3 * len(change.captured)
    if width > MOST_FIELDS:
        detail = (
            f"the undo of this change of {change.table.label} would need {width} fields in one statement, and "
            f"PostgreSQL takes {MOST_FIELDS}; irreversible() or --irreversible gives it up"
        )
        raise InvalidParameters(action=action, detail=detail)
