"""Compiles the built-in actions: from parameters and a table to a change in parts of SQL."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from psycopg import sql

from action_ledger.domain.actions import (
    ArchiveParameters,
    DeleteParameters,
    Parameters,
    RestoreParameters,
    UpdateParameters,
)
from action_ledger.domain.errors import InvalidParameters
from action_ledger.domain.resource import (
    DEFAULT_ARCHIVE,
    DEFAULT_ARCHIVE_REASON,
    DEFAULT_SOFT_DELETE,
)

from .change import Assignment, Kind
from .compiler import Compiler
from .images import conjunction
from .table import Column

EVERY_ROW = sql.SQL("true")
Compiled = tuple[Kind, Sequence[Assignment], sql.Composable]
"""What is done, to which columns, and to which rows alone: a delete leaves alone what is deleted already."""


def update(parameters: Parameters, compiler: Compiler) -> Compiled:
    """Set columns."""
    values = cast("UpdateParameters", parameters).values
    assignments = [compiler.assign(name, value) for name, value in values.items()]
    return "update", assignments, EVERY_ROW


def delete(parameters: Parameters, compiler: Compiler) -> Compiled:
    """Mark as deleted, or delete."""
    if cast("DeleteParameters", parameters).hard:
        return "delete", (), EVERY_ROW
    column = compiler.convention(compiler.resource.soft_delete, DEFAULT_SOFT_DELETE)
    if column is None:
        detail = (
            f"{compiler.table.label} has no soft-delete column ({DEFAULT_SOFT_DELETE}, or one named by a Resource); "
            "hard (hard=True, --hard) takes the rows out of the table, and undo brings them back"
        )
        raise InvalidParameters(action="delete", detail=detail)
    return "update", [Assignment(column, _mark(column, "delete"))], _unmarked(column)


def restore(parameters: Parameters, compiler: Compiler) -> Compiled:
    """Take a mark off."""
    mark = cast("RestoreParameters", parameters).mark
    deleted = compiler.convention(compiler.resource.soft_delete, DEFAULT_SOFT_DELETE)
    archived = compiler.convention(compiler.resource.archive, DEFAULT_ARCHIVE)
    column = {"deleted": deleted, "archived": archived, None: deleted or archived}[mark]
    if column is None:
        detail = f"{compiler.table.label} has no column that marks a record as {mark or 'deleted or archived'}"
        raise InvalidParameters(action="restore", detail=detail)
    assignments = [Assignment(column, _unmark(column))]
    if column is archived and (reason := _reason(compiler)) is not None:
        assignments.append(Assignment(reason, sql.SQL("NULL")))
    return "update", assignments, sql.SQL("NOT {}").format(_unmarked(column))


def archive(parameters: Parameters, compiler: Compiler) -> Compiled:
    """Mark as archived, with the reason where there is a column for it."""
    column = compiler.convention(compiler.resource.archive, DEFAULT_ARCHIVE)
    if column is None:
        detail = f"{compiler.table.label} has no archive column ({DEFAULT_ARCHIVE}, or one named by a Resource)"
        raise InvalidParameters(action="archive", detail=detail)
    assignments = [Assignment(column, _mark(column, "archive"))]
    if (reason := _reason(compiler)) is not None:
        text = cast("ArchiveParameters", parameters).reason
        assignments.append(compiler.assign(reason.name, text))
    return "update", assignments, _unmarked(column)


COMPILERS: Mapping[str, Callable[[Parameters, Compiler], Compiled]] = {
    "update": update,
    "delete": delete,
    "restore": restore,
    "archive": archive,
}


def both(*conditions: sql.Composable | None) -> sql.Composable:
    """Join the conditions that there are."""
    given = [sql.SQL("({})").format(c) for c in conditions if c is not None and c is not EVERY_ROW]
    return conjunction(given) if given else EVERY_ROW


def _reason(compiler: Compiler) -> Column | None:
    return compiler.convention(compiler.resource.archive_reason, DEFAULT_ARCHIVE_REASON)


def _is_boolean(column: Column) -> bool:
    return column.plain_type == "boolean"


def _mark(column: Column, action: str) -> sql.Composable:
    if _is_boolean(column):
        return sql.SQL("true")
    if column.plain_type == "date" or column.plain_type.startswith("timestamp"):
        return sql.SQL("now()")
    detail = f"column {column.name} is {column.type}; a mark is a boolean, a date or a timestamp"
    raise InvalidParameters(action=action, detail=detail)


def _unmark(column: Column) -> sql.Composable:
    return sql.SQL("false" if _is_boolean(column) else "NULL")


def _unmarked(column: Column) -> sql.Composable:
    reference = sql.SQL("t.{}").format(column.identifier)
    return sql.SQL("({} IS NOT TRUE)" if _is_boolean(column) else "({} IS NULL)").format(reference)
