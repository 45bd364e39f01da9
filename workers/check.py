"""Asks the server whether a predicate and assignments are sound, before anything is planned or touched.

EXPLAIN parses, plans and checks rights; it reads no row and fires no trigger. It finds values that are
no values of their column's type, values too long for it, and operators that a type does not have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, assert_never

from psycopg import Cursor, Error, sql

from action_ledger.domain.errors import (
    ActionLedgerError,
    InvalidExpression,
    InvalidValue,
    PermissionDenied,
    UnsupportedComparison,
    shown,
)
from action_ledger.domain.expression import Assignment, ExpressionNode
from action_ledger.domain.selection import (
    Between,
    Comparison,
    ExpressionComparison,
    Leaf,
    Membership,
    NullCheck,
    Predicate,
    leaves,
)
from action_ledger.domain.values import plain
from action_ledger.projections.sql_blocks import read_blocks

from .expressions import compile_assignment, writable
from .literals import Parameters, compile_literal
from .predicate import compile_predicate
from .table import Table

SQL = read_blocks("action_ledger.workers", "check.sql")
ALIAS = "t"
SYMBOLS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "like": "like"}
DATA_EXCEPTION = "22"
# not-null and check violations, of domains: a row cannot violate anything here
CONSTRAINTS = frozenset({"23502", "23514"})
# undefined and ambiguous functions, types that do not match or cast, collations, features not supported
TYPES = frozenset(
    {"42883", "42725", "42804", "42846", "42809", "42704", "42P18", "42P21", "42P22", "0A000"}
)
PERMISSION = "42501"
DETAIL_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Culprit:
    """The part of a command that the server refused, as far as it is known."""

    table: Table
    column: str | None = None
    value: str | None = None
    operator: str | None = None


def check(
    cursor: Cursor[dict[str, Any]],
    table: Table,
    predicate: Predicate | None = None,
    assignments: Mapping[str, Assignment] | None = None,
) -> None:
    """Raise what is wrong with them, naming the column; return when all is well.

    Works in a savepoint of the cursor's transaction, which stays usable when it raises: UnknownColumn,
    ColumnNotWritable, InvalidValue, UnsupportedComparison, InvalidExpression or PermissionDenied.
    """
    assignments = assignments or {}
    for name, assignment in assignments.items():
        _check_null(table, name, assignment)
    if predicate is None and not assignments:
        return
    try:
        _explain(cursor, table, predicate, assignments)
    except Error as exc:
        # Part by part, to name the one; together they may still fail where each alone does not.
        for part, culprit in _parts(table, predicate, assignments):
            _probe(cursor, table, part, culprit)
        _raise(exc, Culprit(table))
    for name, assignment in assignments.items():
        _check_domain(cursor, table, name, assignment)


def translate(exc: Error, culprit: Culprit) -> ActionLedgerError | None:
    """Give our error for a driver's; None for one that says nothing about the command, such as a deadlock."""
    state = exc.sqlstate or ""
    detail = (exc.diag.message_primary or "it is not valid")[:DETAIL_LENGTH]
    table, name = culprit.table.label, culprit.column
    if state == PERMISSION:
        return PermissionDenied(table=table, detail=detail)
    if state not in TYPES | CONSTRAINTS and not state.startswith(DATA_EXCEPTION):
        return None
    if name is None or culprit.value is None:
        return InvalidExpression(detail=detail, table=table, column=name)
    column_type = culprit.table.column(name).type
    if culprit.operator and state in TYPES:
        return UnsupportedComparison(
            table=table, column=name, column_type=column_type, operator=culprit.operator
        )
    return InvalidValue(
        value=culprit.value, detail=detail, table=table, column=name, column_type=column_type
    )


def _raise(exc: Error, culprit: Culprit) -> NoReturn:
    error = translate(exc, culprit)
    if error is None:
        raise exc
    raise error from exc


Part = tuple[Predicate | None, Mapping[str, Assignment]]


def _parts(
    table: Table, predicate: Predicate | None, assignments: Mapping[str, Assignment]
) -> Iterator[tuple[Part, Culprit]]:
    for leaf in leaves(predicate) if predicate is not None else ():
        yield (leaf, {}), _culprit(table, leaf)
    for name, assignment in assignments.items():
        value = None if isinstance(assignment, ExpressionNode) else shown(plain(assignment))
        yield (None, {name: assignment}), Culprit(table, name, value)


def _culprit(table: Table, leaf: Leaf) -> Culprit:
    match leaf:
        case Comparison():
            return Culprit(table, leaf.column, shown(plain(leaf.value)), SYMBOLS[leaf.op])
        case Membership():
            return Culprit(table, leaf.column, shown(plain(leaf.values)), "in")
        case Between():
            return Culprit(table, leaf.column, shown(plain((leaf.low, leaf.high))), "between")
        case NullCheck():
            return Culprit(table, leaf.column)
        case ExpressionComparison():
            return Culprit(table)
        case _:
            assert_never(leaf)


def _probe(cursor: Cursor[dict[str, Any]], table: Table, part: Part, culprit: Culprit) -> None:
    try:
        _explain(cursor, table, *part)
    except Error as exc:
        _raise(exc, culprit)


def _explain(
    cursor: Cursor[dict[str, Any]],
    table: Table,
    predicate: Predicate | None,
    assignments: Mapping[str, Assignment],
) -> None:
    parameters = Parameters()
    condition = (
        sql.SQL("TRUE")
        if predicate is None
        else compile_predicate(predicate, table, ALIAS, parameters)
    )
    settings = [
        _setting(table, name, assignment, parameters) for name, assignment in assignments.items()
    ]
    statement = SQL["explain_update" if settings else "explain_select"].format(
        table=table.identifier, settings=sql.SQL(", ").join(settings), condition=condition
    )
    _run(cursor, statement, parameters)


def _setting(
    table: Table, name: str, assignment: Assignment, parameters: Parameters
) -> sql.Composable:
    column = writable(table, name)
    value = compile_assignment(assignment, table, ALIAS, parameters, column)
    return sql.SQL("{} = {}").format(column.identifier, value)


def _check_null(table: Table, name: str, assignment: Assignment) -> None:
    column = writable(table, name)
    # A trigger may put a value in the place of the null.
    if assignment is None and column.not_null and "update" not in table.writes:
        raise InvalidValue(
            value="None",
            detail="the column must not be null",
            table=table.label,
            column=name,
            column_type=column.type,
        )


def _check_domain(
    cursor: Cursor[dict[str, Any]], table: Table, name: str, assignment: Assignment
) -> None:
    """Try a value on its domain: planning alone does not evaluate a domain's constraints."""
    column = table.column(name)
    if not column.is_domain or isinstance(assignment, ExpressionNode):
        return
    parameters = Parameters()
    value = compile_literal(assignment, column, parameters)
    statement = SQL["cast"].format(value=value, type=column.type_sql)
    try:
        _run(cursor, statement, parameters)
    except Error as exc:
        _raise(exc, Culprit(table, name, shown(plain(assignment))))


def _run(cursor: Cursor[dict[str, Any]], statement: sql.Composed, parameters: Parameters) -> None:
    # Never prepared: the plan of a prepared statement may be older than its parameters, and then checks nothing.
    with cursor.connection.transaction():
        cursor.execute(statement, parameters.values, prepare=False)
