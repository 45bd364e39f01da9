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

    def close(self, lowest: int = 1, highest: int | None = None) -> None:
        """Insert what belongs to the records number ``lowest`` to ``highest`` of those that are left.

        Where the database refuses it, it is halved down to the one record, which is left: whoever lists the rest
        lists that too. Raises the driver's error when it concerns more than single records.
        """
        last, keys = highest or 0, Keys()
        try:
            with self._transaction.savepoint():
                kept, every, keys = self._keep(lowest, highest)
                last = highest or every
                if kept:
                    self._insert(kept)
        except (Error, ChangedElsewhere) as error:
            if isinstance(error, Error) and not _is_of_records(error):
                raise
            if lowest < last:
                middle = (lowest + last) // 2
                # The upper half first: what goes out of it leaves the numbers of the lower one as they are.
                self.close(middle + 1, last)
                self.close(lowest, middle)
            else:
                self._refused[keys] = refusal_of(error)
            return
        self.part += len(self._groups)
        for n, written in kept.items():
            _, _, slices = self._groups[n]
            slices.count(written)

    def _keep(self, lowest: int, highest: int | None) -> tuple[dict[int, Written], int, Keys]:
        """Choose rows and keep them as they are about to become.

        Give the number of the last record too, and the key of the first as it would be listed.
        """
        values = {
            **self._statements.values,
            **{f"part_{n}": self.part + n for n in self._groups},
            "lowest": lowest,
            "highest": highest,
        }
        # The planner takes every group for a few rows, and loops over all of one for each row of another.
        with planned_without(self._transaction, "enable_nestloop"):
            row = self._transaction.cursor.execute(self._choose, values).fetchone() or {}
        kept = {
            n: Written(row[f"records_{n}"], self.part + n, row[f"digest_{n}"], inexact=False)
            for n in self._groups
            if row[f"records_{n}"]
        }
        return kept, row["places"] or 0, Keys(row["first_keys"] or ())

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
