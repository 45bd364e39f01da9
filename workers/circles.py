"""Brings back rows that refer to each other in a circle, so that none of them can come first.

Foreign keys are looked at when a statement ends. So all rows that want for nothing but each other are inserted by
one statement, whatever tables they are of: then it makes no difference whether a constraint can be deferred, or a
column be null meanwhile. They are kept in the change set just before, and read again after.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from psycopg import Error

from action_ledger.projections.store import Transaction

from .child_statements import still_there
from .circle_statements import SQL, CircleStatements, Group
from .faults import Scope, scope_of, split_reason
from .order import planned_without
from .slices import Slices
from .steps import reached
from .table import Table
from .write import ChangedElsewhere, Refusal, Written, refusal_of
from .writer import Writer

Keys = tuple[str, ...]

WANTING = "23503"
"""foreign_key_violation: what a row of a circle fails with alone."""


class Circles:
    """Inserts what is left of some groups, as far as it wants for nothing but each other."""

    def __init__(
        self,
        transaction: Transaction,
        root: Table,
        groups: Sequence[tuple[Group, Writer, Slices]],
        *,
        part: int,
        refused: dict[Keys, Refusal],
    ) -> None:
        """``root`` is the table of the records; ``part`` is how many parts of change set the owner has already.

        Each group comes with what writes for it, and with what counts for it. ``refused`` is to hold what is wrong
        with records that are left although they want for nothing but each other.
        """
        self._transaction = transaction
        self._groups = dict(enumerate(groups, 1))
        self._statements = CircleStatements(transaction, root, [group for group, _, _ in groups])
        self._choose = self._statements.choose()
        self._owner = groups[0][0].owner.id
        self._refused = refused
        self.part = part

    def close(self, lowest: Keys | None = None, highest: Keys | None = None) -> None:
        """Insert what belongs to the records from ``lowest`` to ``highest`` of those that are left; None is no bound.

        Where the database refuses it, it is halved down to the one record, which is left: whoever lists the rest
        lists that too. Raises the driver's error when it concerns more than single records.
        """
        middle, after = Keys(), None
        try:
            with self._transaction.savepoint():
                kept, middle, after = self._keep(lowest, highest)
                if kept:
                    self._insert(kept)
        except (Error, ChangedElsewhere) as error:
            if isinstance(error, Error) and not _is_of_records(error):
                raise
            if after is None:
                self._refused[middle] = refusal_of(error)
            else:
                self.close(after, highest)
                self.close(lowest, middle)
            return
        self.part += len(self._groups)
        for n, written in kept.items():
            _, _, slices = self._groups[n]
            slices.count(written)

    def _keep(
        self, lowest: Keys | None, highest: Keys | None
    ) -> tuple[dict[int, Written], Keys, Keys | None]:
        """Choose rows and keep them as they are about to become.

        Give the keys of the record in the middle, as they would be listed, and of the next one, if there is one.
        """
        values = dict(self._statements.values)
        for n in self._groups:
            values |= {
                f"part_{n}": self.part + n,
                f"lowest_{n}": None if lowest is None else list(lowest),
                f"highest_{n}": None if highest is None else list(highest),
            }
        # The planner takes every group for a few rows, and loops over all of one for each row of another.
        with planned_without(self._transaction, "enable_nestloop"):
            row = self._transaction.cursor.execute(self._choose, values).fetchone() or {}
        kept = {
            n: Written(row[f"records_{n}"], self.part + n, row[f"digest_{n}"], inexact=False)
            for n in self._groups
            if row[f"records_{n}"]
        }
        return kept, Keys(row["middle"] or ()), Keys(row["next"]) if row["next"] else None

    def _insert(self, kept: Mapping[int, Written]) -> None:
        """Insert what was kept, and read what became of it."""
        reached("undo.circle_kept")
        cursor = self._transaction.cursor
        parts = {n: written.part for n, written in kept.items()}
        cursor.execute(self._statements.insert(parts), {"owner": self._owner})
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for n, written in kept.items():
            group, writer, _ = self._groups[n]
            statement = still_there(self._transaction, group.reading.table)
            row = cursor.execute(statement, {"owner": self._owner, "part": written.part}).fetchone()
            if row is None or row["records"] != written.records:
                raise ChangedElsewhere("triggers kept rows of a circle from coming back")
            if (digest := writer.read_again(written.part)) is not None:
                written.digest, written.inexact = digest, True
        reached("undo.circle_back")


def say_why(
    transaction: Transaction,
    owner: UUID,
    refused: Mapping[Keys, Refusal],
    sqlstates: Counter[str],
) -> None:
    """List records with what was wrong in their circle: each alone wanted for the others, and was listed with that."""
    if not refused:
        return
    records = [{"keys": keys, **refusal._asdict()} for keys, refusal in refused.items()]
    values = {"owner": owner, "refused": json.dumps(records), "wanting": WANTING}
    with planned_without(transaction, "enable_nestloop"):
        rows = transaction.execute(SQL["say_why"], values).fetchall()
    for row in rows:
        sqlstates.update({WANTING: -row["records"]})
        sqlstates.update({row["sqlstate"]: row["records"]})
    sqlstates += Counter()  # leaves out what none is listed with


def _is_of_records(error: Error) -> bool:
    return split_reason(error, ordered=False) != "timed_out" and scope_of(error) is Scope.RECORD
