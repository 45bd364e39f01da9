"""Captures the rows that a change takes along through foreign keys, and makes sure that no other rows went.

The parents are locked by then, so nobody can add a row that refers to them. Each level is locked by one statement
and kept by the next, which has a snapshot of its own and sees what was committed while the first one waited.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .change import images_of, images_of_update
from .images import (
    aliases,
    array_of,
    columns_of,
    conjunction,
    decoded,
    gathered,
    listed,
    numbered,
    same_key,
    unnested,
    value,
)
from .reach import Link, Reach
from .statements import statements_of
from .steps import reached
from .table import Column, Table, reference_of
from .write import Child, ReachDiffers, Write

SQL = read_blocks("action_ledger.workers", "children.sql")


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
        tables = self._reach.tables
        for table, before, after in zip(tables, self._before, self._tuples(), strict=True):
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
                    self._take(link, self._records(link), fresh)
                    del fresh[0]
                if fresh:
                    self._take(link, self._rows(link), fresh)
        return any_followed

    def _take(self, link: Link, parents: sql.Composable, parts: Sequence[int]) -> None:
        child, captured = link.child, _captured(link)
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
        common = {
            "parents": parents,
            "table": child.identifier,
            "key": listed(columns_of("t", child.key)),
            "refers": conjunction(
                sql.SQL("{} = {}").format(own, theirs)
                for own, theirs in zip(
                    columns_of("t", link.columns),
                    aliases("p", "c", len(link.columns)),
                    strict=True,
                )
            ),
        }
        cursor = self._transaction.cursor
        cursor.execute(self._transaction.compose(SQL["lock_children"], **common), values)
        reached("children.locked")
        row = cursor.execute(self._capture(link, captured, common), values).fetchone()
        if row is None:
            return
        self._part += 1
        self.captured.append(
            Captured(reference_of(child), self._part, row["records"], row["digest"], link)
        )
        if link.deletes:
            self._parts[child.oid].append(self._part)
        reached("children.captured")

    def _capture(
        self, link: Link, captured: Sequence[Column], common: Mapping[str, sql.Composable]
    ) -> sql.Composed:
        child, root = link.child, self._write.table.key
        keys, images, roots = (
            numbered(prefix, count)
            for prefix, count in (("k", len(child.key)), ("o", len(captured)), ("r", len(root)))
        )
        before = array_of([gathered(c, n) for c, n in zip(captured, images, strict=True)])
        return self._transaction.compose(
            SQL["capture_children"],
            **common,
            columns=listed(
                [
                    *_as(columns_of("t", child.key), keys),
                    *_as(columns_of("t", captured), images),
                    *aliases("p", "r", len(root)),
                ]
            ),
            besides=sql.SQL(" ").join(self._besides(child)),
            keys=array_of([gathered(c, n) for c, n in zip(child.key, keys, strict=True)]),
            before=before,
            after=sql.SQL("NULL" if link.deletes else "before"),
            roots=array_of([gathered(c, n) for c, n in zip(root, roots, strict=True)]),
        )

    def _besides(self, child: Table) -> list[sql.Composable]:
        key, write = columns_of("t", child.key), self._write
        found: list[sql.Composable] = [
            self._transaction.compose(
                SQL["not_captured"],
                key=listed(key),
                others=listed(decoded("w", "k", child.key)),
                arrays=listed(unnested("d.keys", child.key)),
                names=listed(numbered("k", len(child.key))),
            )
        ]
        if child.oid == write.table.oid:
            found.append(
                self._transaction.compose(
                    SQL["not_planned"],
                    key=listed(key),
                    planned_key=listed(aliases("q", "k", len(child.key))),
                    **self._planned(),
                )
            )
        return found

    def _planned(self) -> dict[str, sql.Composable]:
        write = self._write
        return {
            "planned": write.planned,
            "table": write.table.identifier,
            "located": write.located,
            "match": write.match,
        }

    def _records(self, link: Link) -> sql.Composed:
        """Read the parents among the records themselves."""
        count = len(self._write.table.key)
        return self._transaction.compose(
            SQL["records_of"],
            referenced=listed(
                _as(columns_of("t", link.referenced), numbered("c", len(link.referenced)))
            ),
            roots=listed(_as(aliases("q", "k", count), numbered("r", count))),
            **self._planned(),
        )

    def _rows(self, link: Link) -> sql.Composed:
        """Read the parents among the children that were captured before."""
        images, root = images_of(link.parent), self._write.table.key
        places = [images.index(column) + 1 for column in link.referenced]
        names = numbered("o", len(images))
        return self._transaction.compose(
            SQL["rows_of_parts"],
            referenced=listed(
                sql.SQL("{} AS {}").format(
                    value(column, sql.Identifier("u", f"o{place}")), sql.Identifier(f"c{n}")
                )
                for n, (column, place) in enumerate(zip(link.referenced, places, strict=True), 1)
            ),
            roots=listed(_as(decoded("u", "r", root), numbered("r", len(root)))),
            arrays=listed([*unnested("s.before", images), *unnested("s.roots", root)]),
            names=listed([*names, *numbered("r", len(root))]),
        )

    def _keep_after(self, each: Captured) -> None:
        child = each.link.child
        write = Write(
            table=child,
            kind="update",
            planned=sql.SQL(""),
            located=same_key(columns_of("t", child.key), aliases("q", "k", len(child.key))),
            at_once=None,
            match=sql.SQL(""),
            assignments=(),
            captured=_captured(each.link),
            acted=each.link.sets,
            target=(),
            recorded=(),
            reason=sql.SQL(""),
        )
        version = self._transaction.connection.info.server_version
        statement = statements_of(self._transaction.schema_name, version, write).read_again
        values = {"owner": self._values["owner"], "part": each.part}
        row = self._transaction.cursor.execute(statement, values).fetchone()
        if row is not None:
            each.digest = str(row["digest"])

    def _tuples(self) -> list[tuple[int, int]]:
        oids = [table.oid for table in self._reach.tables]
        rows = self._transaction.cursor.execute(SQL["tuples"].format(), {"oids": oids}).fetchall()
        return [(row["deleted"], row["updated"]) for row in rows]


def _captured(link: Link) -> tuple[Column, ...]:
    """Give the columns that are kept of a child: all of them, where it goes or triggers write along."""
    if link.deletes:
        return images_of(link.child)
    return images_of_update(link.child, link.sets)


def _as(
    expressions: Sequence[sql.Composable], names: Sequence[sql.Identifier]
) -> list[sql.Composable]:
    return [sql.SQL("{} AS {}").format(e, n) for e, n in zip(expressions, names, strict=True)]
