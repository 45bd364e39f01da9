"""The statements of a write, put together: what each column is gathered from, and which row is which record's."""

from collections.abc import Sequence
from functools import cached_property, lru_cache

from psycopg import sql

from action_ledger.projections.sql_blocks import Fixed, read_blocks

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
    undomained,
    unnested,
)
from .table import Column
from .write import Write

SQL = read_blocks("action_ledger.workers", "writer.sql")

RETURNING_OLD = 180_000
"""The server version from which ``RETURNING old.*`` gives what a row was."""


@lru_cache(maxsize=128)
def statements_of(schema: str, server_version: int, write: Write) -> "Statements":
    """Put the statements of a write together once: every batch of an execution takes the same."""
    return Statements(schema, server_version, write)


class Statements:
    """Puts together what one write takes, for one version of the server."""

    def __init__(self, schema: str, server_version: int, write: Write) -> None:
        self._schema = sql.Identifier(schema)
        self._write = write
        self.reads_first = write.kind == "update" and server_version < RETURNING_OLD
        """Whether the rows must be locked and read before they are updated, to know what they were."""

    @cached_property
    def lock_rows(self) -> Fixed:
        """Take the rows in key order."""
        return self._compose("lock_rows", key=listed(columns_of("t", self._write.table.key)))

    @cached_property
    def write(self) -> Fixed:
        """Change the rows, keep what they were and have become."""
        write = self._write
        old_is_read = self.reads_first
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
        target = [] if write.kind == "insert" else [name for name in write.target if name]
        at_once = None if old_is_read or write.kind == "insert" else write.at_once
        source = sql.SQL("found q" if old_is_read else "planned q")
        key = (
            columns_of("t" if write.kind != "update" else "old", write.table.key)
            if at_once or write.kind == "insert"
            else aliases("q", "k", len(write.table.key))
        )
        changed: sql.Composable = sql.SQL("changed c")
        if write.kind == "insert":
            # An inner join as a full one: see the block excepted of undo.sql.
            changed = sql.SQL(
                "changed c FULL JOIN planned q ON {} WHERE num_nulls(c.k1, q.k1) = 0"
            ).format(
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
                source=sql.SQL("")
                if at_once
                else sql.SQL("{} {}").format(
                    sql.SQL("FROM" if write.kind == "update" else "USING"), source
                ),
                located=at_once or write.located,
                assignments=listed(
                    sql.SQL("{} = {}").format(a.column.identifier, a.expression)
                    for a in write.assignments
                ),
                columns=listed(column.identifier for column in captured),
                values=listed(sql.Identifier("q", name) for name in write.target if name),
                returned=listed(
                    [
                        *_as(key, numbered("k", len(write.table.key))),
                        *_as(old, numbered("o", len(old))),
                        *_as(new, numbered("n", len(new))),
                        *_as(
                            [sql.Identifier("q", name) for name in target],
                            [sql.Identifier(name) for name in target],
                        ),
                    ]
                ),
            ),
            # An inserted record goes by the key that was planned: the same to the index, it may be other text.
            keys=self._keys("q" if write.kind == "insert" else "c"),
            written=sql.SQL(
                "(SELECT count(*) FROM changed)" if write.kind == "insert" else "count(*)"
            ),
            before=self._gather("o", captured) if old else sql.SQL("NULL::text[]"),
            after=self._gather("n", captured) if new else sql.SQL("NULL::text[]"),
            inexact=self._inexact(bool(new)),
            changed=changed,
        )

    @cached_property
    def read_again(self) -> Fixed:
        """Take the rows as they are by now for the after-images of a part."""
        write, key = self._write, self._write.table.key
        captured = write.captured
        after = decoded("u", "a", captured)
        # Where the change moved the row, its key is among what was captured.
        located = [
            after[captured.index(column)] if column in captured else planned
            for column, planned in zip(key, decoded("u", "k", key), strict=True)
        ]
        rows = columns_of("t", captured)
        found = [
            sql.SQL("CASE WHEN {} IS NULL THEN {} ELSE {} END").format(
                columns_of("t", key)[0], recorded, undomained(column, row)
            )
            for column, recorded, row in zip(captured, after, rows, strict=True)
        ]
        names = numbered("n", len(captured))
        return self._compose(
            "read_again",
            found=listed(_as(found, names)),
            arrays=listed([*unnested("s.keys", key), *unnested("s.after", captured)]),
            names=listed([*numbered("k", len(key)), *numbered("a", len(captured))]),
            same_row=same_key(columns_of("t", key), located),
            after=array_of(
                [gathered(c, n, sql.Identifier("n")) for c, n in zip(captured, names, strict=True)]
            ),
        )

    @cached_property
    def missed(self) -> Fixed:
        """Keep the planned records that were not changed."""
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
            planned_key=listed(aliases("q", "k", keys)),
            done_key=listed(decoded("w", "k", write.table.key)),
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

    @cached_property
    def failed(self) -> Fixed:
        """Keep a record that the database would not take."""
        return self._compose("failed", keys=self._keys("q"))

    def _compose(self, block: str, **parts: sql.Composable) -> Fixed:
        write = self._write
        named = {
            "schema": self._schema,
            "table": write.table.identifier,
            "planned": write.planned,
            "same_key": write.located,
            "match": write.match,
        }
        return Fixed(SQL[block].format(**{**named, **parts}))

    def _inexact(self, has_new: bool) -> sql.Composable:  # noqa: FBT001
        write = self._write
        if not write.target or not has_new:
            return sql.SQL("false")
        relation = "q" if write.kind == "insert" else "c"
        new = aliases("c", "n", len(write.captured))
        aimed = [n for n, name in enumerate(write.target) if name]
        wanted = [sql.Identifier(relation, name) for name in write.target if name]
        return sql.SQL("coalesce(NOT bool_and({}), false)").format(
            equal([write.captured[n] for n in aimed], [new[n] for n in aimed], wanted),
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
