"""Captures the rows that a change takes along through foreign keys, and makes sure that no other rows went.

The parents are locked by then, so nobody can add a row that refers to them. Each level is locked by one statement
and kept by the next, which has a snapshot of its own and sees what was committed while the first one waited.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from action_ledger.projections.store import Transaction

from .child_statements import SQL, ChildStatements, captured_of, still_there
from .reach import Link, Reach
from .steps import reached
from .table import reference_of
from .write import Child, ReachDiffers, Write


@dataclass(slots=True)
class Captured(Child):
    """Rows that were captured, and through which foreign key they were reached."""

    link: Link


class Children:
    """Captures what one slice of a write takes along."""

    def __init__(
        self,
        transaction: Transaction,
        write: Write,
        reach: Reach,
        values: Mapping[str, Any],
        *,
        of_part: int,
    ) -> None:
        """``values`` are those of the write's placeholders; ``of_part`` is the part of the records themselves."""
        self._transaction = transaction
        self._write = write
        self._reach = reach
        self._statements = ChildStatements(transaction, write)
        self._values = {**values, "of_part": of_part}
        self._of_part = of_part
        self._part = of_part
        self._parts = defaultdict[int, list[int]](list, {write.table.oid: [of_part]})
        """The parts of each table whose rows go, the records' own among them."""
        self._followed = Counter[Link]()
        """How many of its parent's parts each link has led on from."""
        self._before: list[tuple[int, int]] = []
        self.captured: list[Captured] = []

    def capture(self) -> None:
        """Lock and keep every row that will be taken along. The records' own rows are locked already."""
        reached("children.parents_locked")
        links = self._reach.links
        while self._follow([link for link in links if link.deletes]):
            pass
        self._follow([link for link in links if not link.deletes])
        self._before = self._tuples()

    def settle(self, records: int) -> None:
        """After the change of so many records: compare what went with what was kept, and keep what it became.

        Raises ReachDiffers.
        """
        reached("children.gone")
        went: Counter[int] = Counter()
        written: Counter[int] = Counter()
        for each in self.captured:
            (went if each.link.deletes else written)[each.link.child.oid] += each.records
        if self._write.kind == "delete":
            went[self._write.table.oid] += records
        else:
            written[self._write.table.oid] += records
        now = self._tuples()
        tables = self._reach.tables if now else ()
        for table, before, after in zip(tables, self._before, now, strict=True):
            deleted, updated = after[0] - before[0], after[1] - before[1]
            gone, set_ = went[table.oid], written[table.oid]
            # A row that goes may have been written before, through each of the foreign keys that do that.
            twice = gone * sum(
                link.child.oid == table.oid and not link.deletes for link in self._reach.links
            )
            if deleted != gone or updated > set_ + twice:
                message = (
                    f"foreign keys would have taken {gone} rows of {table.label} along and written {set_}, and "
                    f"{deleted} were deleted and {updated} written: triggers had a hand in it"
                )
                raise ReachDiffers(message)
        for each in self.captured:
            if not each.link.deletes:
                self._keep_after(each)
            elif each.link.child.may_swallow("delete") and (kept := self._still_there(each)):
                message = (
                    f"triggers kept {kept} rows of {each.link.child.label} that were to go along"
                )
                raise ReachDiffers(message)

    def _follow(self, links: Sequence[Link]) -> bool:
        """Follow the links from what is captured by now; say whether there was anything to follow.

        A link to its own table is followed to its end, before those of the tables that refer to it.
        """
        any_followed = False
        for link in links:
            known = self._parts[link.parent.oid]
            while len(known) > (done := self._followed[link]):
                fresh = known[done:]
                self._followed[link] = len(known)
                any_followed = True
                if fresh[0] == self._of_part:
                    self._take(link, self._statements.records(link), fresh)
                    del fresh[0]
                if fresh:
                    self._take(link, self._statements.rows(link), fresh)
        return any_followed

    def _take(self, link: Link, parents: sql.Composable, parts: Sequence[int]) -> None:
        child, captured = link.child, captured_of(link)
        values = {
            **self._values,
            "parts": list(parts),
            "part": self._part + 1,
            "kind": "delete" if link.deletes else "update",
            "columns": [column.name for column in captured],
            "types": [column.recorded_type for column in captured],
            "acted": [column.name for column in (link.sets or captured)],
            "child": reference_of(child),
            "via": None if link.follows else link.reference.constraint,
        }
        cursor = self._transaction.cursor
        cursor.execute(self._statements.lock(link, parents), values)
        reached("children.locked")
        row = cursor.execute(self._statements.capture(link, parents), values).fetchone()
        if row is None:
            return
        self._part += 1
        self.captured.append(
            Captured(reference_of(child), self._part, row["records"], row["digest"], link)
        )
        if link.deletes:
            self._parts[child.oid].append(self._part)
        reached("children.captured")

    def _keep_after(self, each: Captured) -> None:
        statement = self._statements.read_again(each.link)
        values = {"owner": self._values["owner"], "part": each.part}
        row = self._transaction.cursor.execute(statement, values).fetchone()
        if row is not None:
            each.digest = str(row["digest"])

    def _still_there(self, each: Captured) -> int:
        statement = still_there(self._transaction, each.link.child)
        values = {"owner": self._values["owner"], "part": each.part}
        row = self._transaction.cursor.execute(statement, values).fetchone()
        return int(row["records"]) if row else 0

    def _tuples(self) -> list[tuple[int, int]]:
        oids = [table.oid for table in self._reach.tables]
        rows = self._transaction.cursor.execute(SQL["tuples"].format(), {"oids": oids}).fetchall()
        return [(row["deleted"], row["updated"]) for row in rows]
