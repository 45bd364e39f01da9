"""The statements that lock and capture the rows which a change takes along, put together for one write."""

from collections.abc import Sequence

from psycopg import sql

from action_ledger.projections.sql_blocks import Fixed, read_blocks
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
from .reach import Link
from .statements import statements_of
from .table import Column, Table
from .write import Write

SQL = read_blocks("action_ledger.workers", "children.sql")


class ChildStatements:
    """Puts together what the links of one write take. Parents are ``p``, rows of the child's table are ``t``."""

    def __init__(self, transaction: Transaction, write: Write) -> None:
        self._transaction = transaction
        self._write = write

    def records(self, link: Link) -> sql.Composed:
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

    def rows(self, link: Link) -> sql.Composed:
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

    def lock(self, link: Link, parents: sql.Composable) -> sql.Composed:
        """Take the rows that refer to the parents, in key order."""
        return self._transaction.compose(SQL["lock_children"], **self._common(link, parents))

    def capture(self, link: Link, parents: sql.Composable) -> sql.Composed:
        """Keep them, as a part of a change set."""
        captured = captured_of(link)
        child, root = link.child, self._write.table.key
        keys, images, roots = (
            numbered(prefix, count)
            for prefix, count in (("k", len(child.key)), ("o", len(captured)), ("r", len(root)))
        )
        before = array_of([gathered(c, n) for c, n in zip(captured, images, strict=True)])
        return self._transaction.compose(
            SQL["capture_children"],
            **self._common(link, parents),
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

    def read_again(self, link: Link) -> Fixed:
        """Keep what the rows of a part have become."""
        child = link.child
        write = Write(
            table=child,
            kind="update",
            planned=sql.SQL(""),
            located=same_key(columns_of("t", child.key), aliases("q", "k", len(child.key))),
            at_once=None,
            match=sql.SQL(""),
            assignments=(),
            captured=captured_of(link),
            acted=link.sets,
            target=(),
            recorded=(),
            reason=sql.SQL(""),
        )
        version = self._transaction.connection.info.server_version
        return statements_of(self._transaction.schema_name, version, write).read_again

    def _common(self, link: Link, parents: sql.Composable) -> dict[str, sql.Composable]:
        child = link.child
        return {
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


def still_there(transaction: Transaction, table: Table) -> sql.Composed:
    """Count the rows of a part of a change set that are in the table, by their keys."""
    key = table.key
    return transaction.compose(
        SQL["still_there"],
        arrays=listed(unnested("s.keys", key)),
        names=listed(numbered("k", len(key))),
        table=table.identifier,
        same_key=same_key(columns_of("t", key), decoded("u", "k", key)),
    )


def captured_of(link: Link) -> tuple[Column, ...]:
    """Give the columns that are kept of a child: all of them, where it goes or triggers write along."""
    if link.deletes:
        return images_of(link.child)
    return images_of_update(link.child, link.sets)


def _as(
    expressions: Sequence[sql.Composable], names: Sequence[sql.Identifier]
) -> list[sql.Composable]:
    return [sql.SQL("{} AS {}").format(e, n) for e, n in zip(expressions, names, strict=True)]
