"""The writer: one statement that changes a slice of a batch and keeps its change set, whatever the change is.

The same statement serves an action and its undo, redo and their batches: they differ in the parts that a
:class:`Write` names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from action_ledger.projections import tracing
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .catalog import Column, Table
from .change import Assignment
from .images import (
    aliases,
    array_of,
    columns_of,
    decoded,
    equal,
    gathered,
    listed,
    numbered,
    same_key,
    unnested,
)

SQL = read_blocks("action_ledger.workers", "writer.sql")

RETURNING_OLD = 180_000
"""The server version from which ``RETURNING old.*`` gives what a row was."""


@dataclass(frozen=True, slots=True)
class Owner:
    """To whom the bulk data of a write belongs: a batch, or a compensation of one."""

    id: UUID
    batch_id: UUID
    execution_id: UUID
    undo_id: UUID | None
    batch_version: int
    direction: Literal["do", "undo", "redo"]


@dataclass(frozen=True, slots=True)
class Write:
    """What a statement is put together from. Planned records are ``q``, rows of the table are ``t``."""

    table: Table
    kind: Literal["update", "delete", "insert"]
    planned: sql.Composable
    located: sql.Composable
    """Which row is a planned record's."""
    match: sql.Composable
    """What must be true of the row for it to be changed."""
    assignments: tuple[Assignment, ...]
    captured: tuple[Column, ...]
    acted: tuple[Column, ...]
    target: tuple[str, ...]
    """For an undo: the columns of ``q`` that say what each captured column should become. Otherwise empty."""
    recorded: tuple[str, ...]
    """For an undo: the columns of ``q`` that say what the ledger had written to each acted-on column."""
    reason: sql.Composable
    """Why a planned record was not changed, as an expression over ``q`` and ``t``."""
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of one statement. ``digest`` is None when nothing was changed."""

    records: int
    digest: str | None
    inexact: bool


class Writer:
    """Runs a write for slices of one batch, in one transaction."""

    def __init__(
        self,
        transaction: Transaction,
        owner: Owner,
        write: Write,
        *,
        ordered: bool,
        part: int = 0,
        outcomes: int = 0,
    ) -> None:
        """``ordered`` takes the rows in key order first, as is done after a deadlock.

        ``part`` and ``outcomes`` are how many parts of change set and of outcomes the owner has already.
        """
        self._transaction = transaction
        self._owner = owner
        self._write = write
        self._returning_old = transaction.connection.info.server_version >= RETURNING_OLD
        self._lock_first = write.kind != "insert" and (
            ordered or (write.kind == "update" and not self._returning_old)
        )
        self._lock_rows = self._compose("lock_rows", key=listed(columns_of("t", write.table.key)))
        self._statement = self._compose_write()
        self.part = part
        self.outcomes = outcomes

    def apply(self, lo: int, hi: int) -> Written:
        """Change the records number ``lo`` to ``hi`` (from 1, both included) of the planned ones."""
        cursor, write = self._transaction.cursor, self._write
        values = {
            **write.parameters,
            **self._owned(),
            "part": self.part + 1,
            "batch_version": self._owner.batch_version,
            "direction": self._owner.direction,
            "kind": write.kind,
            "columns": [column.name for column in write.captured],
            "types": [column.type for column in write.captured],
            "acted": [column.name for column in write.acted],
            "lo": lo,
            "hi": hi,
        }
        with tracing.statement(write.kind.upper(), table=write.table.name):
            if self._lock_first:
                cursor.execute(self._lock_rows, values)
            cursor.execute(self._statement, values)
            row = cursor.fetchone()
        if row is None:
            message = "an aggregate gives one row"
            raise AssertionError(message)
        self.part += 1
        return Written(records=row["records"], digest=row["digest"], inexact=bool(row["inexact"]))

    def record_missed(self, lo: int, hi: int) -> dict[str, int]:
        """Keep the planned records that the last ``apply`` did not change; give the number for each reason."""
        self._transaction.cursor.execute(
            self._compose_missed(),
            {
                **self._write.parameters,
                **self._owned(),
                "part": self.part,
                "first_part": self.outcomes,
                "acted": [column.name for column in self._write.acted],
                "lo": lo,
                "hi": hi,
            },
        )
        reasons = {row["reason"]: row["records"] for row in self._transaction.cursor.fetchall()}
        self.outcomes += len(reasons)
        return reasons

    def record_failed(
        self, at: int, *, sqlstate: str, constraint: str | None, message: str
    ) -> None:
        """Keep one record that the database would not take, with what the database said."""
        self.outcomes += 1
        self._transaction.cursor.execute(
            self._compose("failed", keys=self._keys("q")),
            {
                **self._write.parameters,
                **self._owned(),
                "first_part": self.outcomes,
                "sqlstate": sqlstate,
                "constraint": constraint,
                "message": message,
                "lo": at,
                "hi": at,
            },
        )

    def _owned(self) -> dict[str, object]:
        owner = self._owner
        return {
            "owner": owner.id,
            "batch_id": owner.batch_id,
            "execution_id": owner.execution_id,
            "undo_id": owner.undo_id,
        }

    def _compose(self, block: str, **parts: sql.Composable) -> sql.Composed:
        write = self._write
        return self._transaction.compose(
            SQL[block],
            **{
                "table": write.table.identifier,
                "planned": write.planned,
                "same_key": write.located,
                "match": write.match,
                **parts,
            },
        )

    def _compose_write(self) -> sql.Composed:
        write = self._write
        old_is_read = write.kind == "update" and not self._returning_old
        captured = write.captured
        old = {
            "update": aliases("q", "o", len(captured))
            if old_is_read
            else columns_of("old", captured),
            "delete": columns_of("t", captured),
            "insert": [],
        }[write.kind]
        new = {
            "update": columns_of("t" if old_is_read else "new", captured),
            "delete": [],
            "insert": columns_of("t", captured),
        }[write.kind]
        target = (
            [] if write.kind == "insert" else [sql.Identifier("q", name) for name in write.target]
        )
        changed: sql.Composable = sql.SQL("changed c")
        if write.kind == "insert":
            changed = sql.SQL("changed c JOIN planned q ON {}").format(
                same_key(
                    aliases("c", "k", len(write.table.key)), aliases("q", "k", len(write.table.key))
                )
            )
        return self._compose(
            "write",
            found=self._compose(
                "found", old=listed(_as(columns_of("t", captured), numbered("o", len(captured))))
            )
            if old_is_read
            else sql.SQL(""),
            change=self._compose(
                write.kind,
                source=sql.SQL("found" if old_is_read else "planned"),
                assignments=listed(
                    sql.SQL("{} = {}").format(a.column.identifier, a.expression)
                    for a in write.assignments
                ),
                columns=listed(column.identifier for column in captured),
                values=listed(sql.Identifier("q", name) for name in write.target),
                returned=listed(
                    [
                        *_as(
                            columns_of("t", write.table.key)
                            if write.kind == "insert"
                            else aliases("q", "k", len(write.table.key)),
                            numbered("k", len(write.table.key)),
                        ),
                        *_as(old, numbered("o", len(old))),
                        *_as(new, numbered("n", len(new))),
                        *_as(
                            target, [sql.Identifier(name) for name in write.target[: len(target)]]
                        ),
                    ]
                ),
            ),
            keys=self._keys("c"),
            before=self._gather("o", captured) if old else sql.SQL("NULL::text[]"),
            after=self._gather("n", captured) if new else sql.SQL("NULL::text[]"),
            inexact=self._inexact(bool(new)),
            changed=changed,
        )

    def _inexact(self, has_new: bool) -> sql.Composable:  # noqa: FBT001
        write = self._write
        if not write.target or not has_new:
            return sql.SQL("false")
        relation = "q" if write.kind == "insert" else "c"
        wanted = [sql.Identifier(relation, name) for name in write.target]
        return sql.SQL("coalesce(NOT bool_and({}), false)").format(
            equal(write.captured, aliases("c", "n", len(write.captured)), wanted),
        )

    def _compose_missed(self) -> sql.Composed:
        write = self._write
        compared = bool(write.recorded)
        current = listed(_as(columns_of("t", write.acted), numbered("f", len(write.acted))))
        keys = len(write.table.key)
        return self._compose(
            "missed",
            arrays=listed(unnested("d.keys", write.table.key)),
            key_names=listed(numbered("k", keys)),
            located=write.located,
            reason=write.reason,
            current=sql.SQL(", {}").format(current) if compared else sql.SQL(""),
            same_key=same_key(decoded("w", "k", write.table.key), aliases("q", "k", keys)),
            columns=sql.SQL("%(acted)s") if compared else sql.SQL("NULL::text[]"),
            keys=self._keys("missed"),
            recorded=array_of(
                [
                    gathered(c, sql.Identifier(r))
                    for c, r in zip(write.acted, write.recorded, strict=True)
                ]
            )
            if compared
            else sql.SQL("NULL::text[]"),
            found_values=self._gather("f", write.acted) if compared else sql.SQL("NULL::text[]"),
        )

    def _keys(self, relation: str) -> sql.Composable:
        key = self._write.table.key
        return array_of(
            [gathered(c, r) for c, r in zip(key, aliases(relation, "k", len(key)), strict=True)]
        )

    @staticmethod
    def _gather(prefix: str, columns: Sequence[Column]) -> sql.Composable:
        return array_of(
            [gathered(c, r) for c, r in zip(columns, numbered(prefix, len(columns)), strict=True)]
        )


def _as(
    expressions: Sequence[sql.Composable], names: Sequence[sql.Identifier]
) -> list[sql.Composable]:
    return [sql.SQL("{} AS {}").format(e, n) for e, n in zip(expressions, names, strict=True)]
