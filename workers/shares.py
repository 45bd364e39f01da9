"""The shares of a source: its records by the columns in which each is taken back, where that is not the same for all.

An undo of some columns leaves the others to another one, and a merge leaves those that somebody changed. Shares are
found in the server, under the rows' locks where what is found depends on the rows.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from psycopg import sql

from action_ledger.domain.event import Tally
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.projections.store import Transaction

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
from .reading import Reading, Share
from .sources import SQL, Source, among_chosen
from .statements import SQL as WRITER
from .table import Column, Table
from .write import Owner


class Shares:
    """Finds the shares of one undo's sources, and counts what they come to."""

    def __init__(
        self,
        transaction: Transaction,
        table: Table,
        *,
        chosen: UUID | None,
        columns: Collection[str] | None,
        policy: ConflictPolicy,
    ) -> None:
        """``columns`` are those that alone are to be taken back, ``chosen`` owns the keys of the records; None is all."""
        self._transaction = transaction
        self._table = table
        self._chosen = chosen
        self._columns = columns
        self._policy = policy

    def readings(self, source: Source, *, alone: bool, looks: bool) -> list[Reading]:
        """Give the readings of the records' own source: one, or one for each share.

        ``alone`` says that no rows of other tables went along: then a merge goes by columns. It ``looks`` at the rows,
        under their locks; without, the shares are those of what still stands.
        """
        whole = self._reading(source)
        if not whole.acted:
            return []
        merges = (
            looks and alone and source.kind == "update" and self._policy is ConflictPolicy.MERGE
        )
        if not merges and not source.partly:
            return [whole]
        return [self._reading(source, share) for share in self._find(whole, merges=merges)]

    def count_standing(self, batch_id: UUID, of_undo: UUID | None) -> int:
        """Count the records of a batch of which some column is still to be taken back."""
        key = self._table.key
        names = numbered("k", len(key))
        statement = self._transaction.compose(
            SQL["count_standing"],
            key_names=listed(names),
            keys=listed(_as(decoded("u", "k", key), names)),
            arrays=listed(unnested("s.keys", key)),
            is_chosen=sql.SQL("") if self._chosen is None else among_chosen(self._transaction, key),
        )
        values = {
            "source_batch": batch_id,
            "of_undo": of_undo,
            "chosen": self._chosen,
            "columns": None if self._columns is None else list(self._columns),
        }
        return int(self._row(statement, values)["records"])

    def keep(self, reading: Reading, owner: Owner, *, part: int, parts: Sequence[int]) -> bool:
        """List what a merge left, of the records in ``parts`` of the change set; say whether there was anything."""
        kept, key = reading.kept, self._table.key
        if not kept or not parts:
            return False
        statement = self._transaction.compose(
            SQL["kept"],
            planned=reading.planned(),
            table=self._table.identifier,
            located=reading.located(),
            key=listed(aliases("q", "k", len(key))),
            others=listed(decoded("w", "k", key)),
            arrays=listed(unnested("d.keys", key)),
            key_names=listed(numbered("k", len(key))),
            keys=array_of(
                [gathered(c, r) for c, r in zip(key, aliases("q", "k", len(key)), strict=True)]
            ),
            recorded=array_of(
                [gathered(c, sql.Identifier("q", reading.after_name(c))) for c in kept]
            ),
            current=array_of(
                [gathered(c, r) for c, r in zip(kept, columns_of("t", kept), strict=True)]
            ),
        )
        values = {
            **reading.parameters,
            **owner.values,
            "lo": 1,
            "hi": reading.source.records,
            "part": part,
            "parts": list(parts),
            "kept": [column.name for column in kept],
        }
        return self._transaction.cursor.execute(statement, values).rowcount > 0

    def recount(self, owner: UUID) -> Tally:
        """Count what became of a compensation's records, each once."""
        key = self._table.key
        names = numbered("k", len(key))
        statement = self._transaction.compose(
            SQL["recount"],
            key_names=listed(names),
            keys=listed(_as(decoded("u", "k", key), names)),
            arrays=listed(unnested("s.keys", key)),
        )
        return Tally(**self._row(statement, {"owner": owner}))

    def _reading(self, source: Source, share: Share | None = None) -> Reading:
        return Reading(
            self._transaction,
            self._table,
            source,
            chosen=self._chosen,
            columns=self._columns,
            share=share,
        )

    def _find(self, whole: Reading, *, merges: bool) -> list[Share]:
        values = {**whole.parameters, "lo": 1, "hi": whole.source.records}
        if merges:
            lock = self._transaction.compose(
                WRITER["lock_rows"],
                planned=whole.planned(),
                table=self._table.identifier,
                same_key=whole.located(),
                key=listed(columns_of("t", self._table.key)),
            )
            self._transaction.cursor.execute(lock, values)
        statement = self._transaction.compose(
            SQL["shares"],
            planned=whole.planned(placed=True),
            standing=listed(self._stands(column) for column in whole.acted),
            touched=self._touched(whole) if merges else sql.SQL("NULL::boolean[]"),
            rows=sql.SQL("LEFT JOIN {} t ON {}").format(self._table.identifier, whole.located())
            if merges
            else sql.SQL(""),
        )
        rows = self._transaction.cursor.execute(statement, values).fetchall()
        return [_share(whole.acted, row) for row in rows]

    def _stands(self, column: Column) -> sql.Composable:
        key = self._table.key
        return self._transaction.compose(
            SQL["stands"],
            key=listed(aliases("q", "k", len(key))),
            others=listed(decoded("w", "k", key)),
            arrays=listed(unnested("l.keys", key)),
            key_names=listed(numbered("k", len(key))),
            column=sql.Literal(column.name.replace("%", "%%")),
        )

    def _touched(self, whole: Reading) -> sql.Composable:
        changed = listed(
            sql.SQL("NOT {}").format(
                equal([column], columns_of("t", [column]), [sql.Identifier("q", name)])
            )
            for column, name in ((c, whole.after_name(c)) for c in whole.acted)
        )
        # A record that was moved comes back as a whole: what is at its key may be another by now.
        key = self._table.key
        return sql.SQL("CASE WHEN {} THEN ARRAY[{}] END").format(
            same_key(columns_of("t", key), aliases("q", "k", len(key))), changed
        )

    def _row(self, statement: sql.Composed, values: dict[str, Any]) -> dict[str, Any]:
        row = self._transaction.cursor.execute(statement, values).fetchone()
        if row is None:
            message = "an aggregate gives one row"
            raise AssertionError(message)
        return row


def _share(acted: Sequence[Column], row: dict[str, Any]) -> Share:
    """Make a share of what was found. A row that is gone, or was changed in all of it, is a conflict as a whole."""
    standing = [c.name for c, stands in zip(acted, row["standing"], strict=True) if stands]
    touched = row["touched"] or [False] * len(acted)
    kept = [c.name for c, changed in zip(acted, touched, strict=True) if changed]
    kept = [name for name in kept if name in standing]
    if len(kept) == len(standing):
        kept = []
    return Share(
        places=row["places"],
        records=row["records"],
        acted=tuple(name for name in standing if name not in kept),
        kept=tuple(kept),
    )


def _as(
    expressions: Sequence[sql.Composable], names: Sequence[sql.Identifier]
) -> list[sql.Composable]:
    return [sql.SQL("{} AS {}").format(e, n) for e, n in zip(expressions, names, strict=True)]
