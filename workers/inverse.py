"""The inverse of a change: the writes that set records back, insert them again, or delete them again."""

from dataclasses import replace
from typing import assert_never

from psycopg import sql

from action_ledger.domain.undo import ConflictPolicy

from .change import Assignment
from .images import aliases, columns_of, equal, same_key
from .reading import Reading
from .table import Column
from .write import Write


def inverse_of(reading: Reading, policy: ConflictPolicy) -> Write:
    """Give the write that takes a source back."""
    match reading.inverse:
        case "update":
            return _set_back(reading, policy)
        case "insert":
            return _insert_again(reading)
        case "delete":
            return _delete_again(reading, policy)
        case _:
            assert_never(reading.inverse)


def unchanged_since(reading: Reading, columns: tuple[Column, ...]) -> sql.Composable:
    """Compare a row with what the ledger had written to it."""
    return equal(
        columns,
        columns_of("t", columns),
        [sql.Identifier("q", reading.after_name(column)) for column in columns],
    )


def conflicting(reading: Reading) -> sql.Composable:
    """Say, for a planned record and its row (if any), whether somebody changed it since."""
    key = columns_of("t", reading.table.key)[0]
    if reading.source.kind == "delete":
        return sql.SQL("{} IS NOT NULL").format(key)
    return sql.SQL("{} IS NULL OR NOT {}").format(key, unchanged_since(reading, reading.acted))


def _write(reading: Reading, policy: ConflictPolicy) -> Write:
    match = (
        sql.SQL("true")
        if policy is ConflictPolicy.FORCE
        else unchanged_since(reading, reading.acted)
    )
    return Write(
        table=reading.table,
        kind="update",
        planned=reading.planned(),
        located=reading.located(),
        at_once=None,
        match=match,
        assignments=(),
        captured=reading.captured,
        acted=reading.acted,
        target=tuple(
            reading.before_name(column) if column in reading.aimed else None
            for column in reading.captured
        ),
        recorded=tuple(map(reading.after_name, reading.acted)),
        reason=sql.SQL(
            "CASE WHEN {key} IS NULL THEN 'gone' WHEN {match} THEN {missed} ELSE 'changed_since' END"
        ).format(
            key=columns_of("t", reading.table.key)[0],
            match=match,
            missed=_missed(reading, otherwise="changed_since"),
        ),
    )


def _missed(reading: Reading, *, otherwise: str) -> sql.Literal:
    """Say why a record was left that could be changed now: without a trigger, it could not a moment ago."""
    return sql.Literal("trigger" if reading.table.may_swallow(reading.inverse) else otherwise)


def _set_back(reading: Reading, policy: ConflictPolicy) -> Write:
    assignments: list[Assignment] = []
    for column in reading.aimed:
        before = sql.Identifier("q", reading.before_name(column))
        if column in reading.acted:
            assignments.append(Assignment(column, before))
        elif not column.identity_always and not column.generated:
            # A trigger may have written it along; it goes back only where nobody wrote it since.
            (current,) = columns_of("t", [column])
            kept = sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(
                unchanged_since(reading, (column,)), before, current
            )
            assignments.append(Assignment(column, kept))
    return replace(_write(reading, policy), assignments=tuple(assignments))


def _insert_again(reading: Reading) -> Write:
    """Where a row has the key by now, that row stays: to force it out would be another delete."""
    keys = len(reading.table.key)
    return replace(
        _write(reading, ConflictPolicy.FORCE),
        kind="insert",
        located=same_key(columns_of("t", reading.table.key), aliases("q", "k", keys)),
        recorded=tuple(map(reading.before_name, reading.acted)),
        reason=sql.SQL("CASE WHEN {} IS NULL THEN {} ELSE 'taken' END").format(
            columns_of("t", reading.table.key)[0], _missed(reading, otherwise="taken")
        ),
    )


def _delete_again(reading: Reading, policy: ConflictPolicy) -> Write:
    return replace(_write(reading, policy), kind="delete", target=())
