"""The compensator: takes a batch back from its change sets, in the caller's transaction.

What was updated is set back, what was deleted is inserted, and what an undo inserted is deleted again when it
is redone. Each leaves a change set of its own, so that a redo is an undo like any other.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never
from uuid import UUID

from psycopg import sql

from action_ledger.domain.batch import Batch, Compensated
from action_ledger.domain.event import Metadata, Tally
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.projections.store import Transaction

from .change import Assignment
from .images import aliases, columns_of, decoded, equal, listed, numbered, same_key, unnested, value
from .slices import Slices, digest_of, outcomes_digest_of
from .sources import SQL, Reading, find_sources
from .table import Column, Table
from .write import Owner, Write
from .writer import Writer


def compensate_batch(
    transaction: Transaction,
    table: Table,
    batch: Batch,
    *,
    owner: Owner,
    number: int,
    of_undo: UUID | None,
    policy: ConflictPolicy,
    chosen: UUID | None,
    attempt: int,
    worker: str,
    metadata: Metadata,
) -> Compensated:
    """Bring the batch's records back; give the event that says so, to be appended in this transaction."""
    done: list[tuple[Reading, Slices]] = []
    part, outcomes = 0, 0
    for source in find_sources(transaction, batch_id=batch.id, of_undo=of_undo):
        reading = Reading(transaction, table, source, chosen=chosen)
        write = compensation(reading, policy)
        # What takes an undo back does again what it undid: so the redo of a redo is an undo.
        turned = replace(owner, direction="redo" if source.direction == "undo" else "undo")
        writer = Writer(
            transaction,
            turned,
            write,
            reading.parameters,
            ordered=attempt > 1,
            part=part,
            outcomes=outcomes,
        )
        slices = Slices(transaction, writer)
        slices.apply(1, source.records)
        part, outcomes = writer.part, writer.outcomes
        done.append((reading, slices))
    tally, digests, sqlstates = Tally(), list[str](), Counter[str]()
    excepted: set[str] = set()
    for reading, slices in done:
        if reading.inverse != "delete" and table.may_follow(reading.inverse):
            slices.read_again()
        if slices.inexact:
            excepted |= _excepted(transaction, reading, owner.id, slices.parts)
        tally += slices.tally
        sqlstates += slices.sqlstates
        digests += slices.digests
    return batch.trigger(
        Compensated,
        metadata,
        execution_id=owner.execution_id,
        undo_id=owner.undo_id,
        compensation_id=owner.id,
        number=number,
        tally=tally,
        change_digest=digest_of(digests),
        outcomes_digest=outcomes_digest_of(transaction, owner.id, tally),
        excepted=tuple(sorted(excepted)),
        sqlstates=dict(sqlstates),
        attempt=attempt,
        worker=worker,
    )


def compensation(reading: Reading, policy: ConflictPolicy) -> Write:
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
        target=tuple(map(reading.before_name, reading.captured)),
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
    for column in reading.captured:
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


def _excepted(
    transaction: Transaction, reading: Reading, owner: UUID, parts: Sequence[int]
) -> set[str]:
    """Find the columns in which records did not come back as they had been."""
    key, captured = reading.table.key, reading.captured
    found: set[str] = set()
    statement = transaction.compose(
        SQL["excepted"],
        differing=sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(
            listed(
                sql.SQL("CASE WHEN bool_or(NOT {}) THEN {} END").format(
                    equal(
                        [column],
                        [value(column, sql.Identifier("x", f"n{n}"))],
                        [sql.Identifier("q", reading.before_name(column))],
                    ),
                    sql.Literal(column.name.replace("%", "%%")),
                )
                for n, column in enumerate(captured, 1)
            )
        ),
        new_arrays=listed([*unnested("n.keys", key), *unnested("n.after", captured)]),
        new_names=listed([*numbered("k", len(key)), *numbered("n", len(captured))]),
        planned=reading.planned(),
        same_key=same_key(decoded("x", "k", key), aliases("q", "k", len(key))),
    )
    for part in parts:
        values = {
            **reading.parameters,
            "owner": owner,
            "part": part,
            "lo": 1,
            "hi": reading.source.records,
        }
        row = transaction.cursor.execute(statement, values).fetchone()
        found.update(row["columns"] if row else ())
    return found
