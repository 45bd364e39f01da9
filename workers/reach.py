"""The reach of a change: which tables it touches through foreign keys, in which order, and what it does there.

A delete goes on for as long as foreign keys cascade. A change of keys goes one step. What cannot be captured,
and so not be taken back, is refused here, before anything is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from action_ledger.domain.errors import IrreversibleCascade, NoPrimaryKey, UnsupportedTable
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .catalog import read_for_change
from .context import policies_hold
from .table import Column, Reference, Table

SQL = read_blocks("action_ledger.workers", "children.sql")
TAKES_ALONG = frozenset("cnd")
"""pg_constraint's letters for cascade, set null and set default."""
CASCADE = "c"


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A foreign key through which rows of ``child`` change with the rows of ``parent`` that they refer to."""

    parent: Table
    child: Table
    reference: Reference
    sets: tuple[Column, ...]
    """The columns that it writes; empty where it deletes the row."""
    follows: bool
    """Whether the row goes with its parent, and comes back with it."""

    @property
    def deletes(self) -> bool:
        """Whether the child's rows are deleted."""
        return not self.sets

    @property
    def columns(self) -> tuple[Column, ...]:
        """The child's columns that refer to the parent."""
        return tuple(map(self.child.column, self.reference.columns))

    @property
    def referenced(self) -> tuple[Column, ...]:
        """The parent's columns that they refer to."""
        return tuple(map(self.parent.column, self.reference.referenced))


@dataclass(frozen=True, slots=True)
class Reach:
    """The links of one change. A table comes after those that it refers to, as far as they run in no circle."""

    links: tuple[Link, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that it touches, in that order."""
        return tuple({link.child.oid: link.child for link in self.links}.values())


def find_reach(
    transaction: Transaction,
    table: Table,
    kind: Literal["update", "delete", "insert"],
    written: Sequence[Column] = (),
) -> Reach | None:
    """Find what a change of a table's rows reaches; ``written`` are the columns that it sets.

    Locks the tables that it finds, as the change does. Raises IrreversibleCascade or PermissionDenied.
    """
    links: list[Link] = []
    tables = {table.oid: table}
    if kind == "update":
        changed = {column.name for column in (*written, *table.computed_from(written))}
        links += [
            _link(transaction, tables, table, reference, kind)
            for reference in table.referenced_by
            if reference.on_update in TAKES_ALONG and changed & set(reference.referenced)
        ]
    elif kind == "delete":
        waiting, seen = [table], {table.oid}
        while waiting:
            parent = waiting.pop()
            for reference in parent.referenced_by:
                if reference.on_delete not in TAKES_ALONG:
                    continue
                link = _link(transaction, tables, parent, reference, kind)
                links.append(link)
                if link.deletes and link.child.oid not in seen:
                    seen.add(link.child.oid)
                    waiting.append(link.child)
    if not links:
        return None
    _check_told(transaction, tables, links[0])
    rank = {oid: place for place, oid in enumerate(_ordered(tables, table))}
    return Reach(
        tuple(
            sorted(
                links, key=lambda link: (rank[link.child.oid], link.child.oid == link.parent.oid)
            )
        )
    )


def _check_told(transaction: Transaction, tables: Mapping[int, Table], link: Link) -> None:
    """Refuse what nobody could check: what triggers do, and what policies hide, is told by the server's counters alone."""
    row = transaction.cursor.execute(SQL["untold"].format(), {"oids": list(tables)}).fetchone()
    if row is not None:
        raise IrreversibleCascade(
            table=link.parent.label,
            referencing=link.child.label,
            constraint=link.reference.constraint,
            reason=f"{row['name']} has {row['what']}, and the server does not count what goes (track_counts is off)",
        )


def _link(
    transaction: Transaction,
    tables: dict[int, Table],
    parent: Table,
    reference: Reference,
    kind: Literal["update", "delete"],
) -> Link:
    action = reference.on_delete if kind == "delete" else reference.on_update
    reason: str | None
    try:
        child = read_for_change(transaction, reference.child)
    except NoPrimaryKey:
        reason = "it has no primary key to tell its rows by"
    except UnsupportedTable as error:
        reason = error.reason
    else:
        child = tables.setdefault(child.oid, child)
        sets = reference.columns if kind == "update" else reference.set_on_delete
        link = Link(
            parent=parent,
            child=child,
            reference=reference,
            sets=() if kind == "delete" and action == CASCADE else tuple(map(child.column, sets)),
            follows=action == CASCADE,
        )
        reason = _refusal(link, kind, seen=policies_hold(transaction, child))
        if reason is None:
            return link
    raise IrreversibleCascade(
        table=parent.label,
        referencing=f"{reference.schema}.{reference.table}",
        constraint=reference.constraint,
        reason=reason,
    )


def _refusal(link: Link, kind: str, *, seen: bool) -> str | None:
    """Say why rows that a link reaches could not be captured, or not be brought back. ``seen``: whose they are is known."""
    child = link.child
    written = {column.name for column in (*link.sets, *child.computed_from(link.sets))}
    reasons = (
        (
            not seen,
            "it has row-level security, and no context in which its policies hold was declared",
        ),
        (child.partitioned, "it is partitioned"),
        (
            any(column.generated for column in link.referenced),
            "what it refers to is computed",
        ),
        (
            any(column.name in written for column in child.key),
            "its rows would have other keys",
        ),
        (
            any(
                reference.on_update in TAKES_ALONG and written & set(reference.referenced)
                for reference in child.referenced_by
            ),
            "other tables refer to what would be written there",
        ),
        (
            kind == "update" and child.oid == link.parent.oid,
            "it refers to its own keys",
        ),
    )
    return next((reason for applies, reason in reasons if applies), None)


def _ordered(tables: dict[int, Table], root: Table) -> list[int]:
    """Put tables in an order in which each comes after those that it refers to; a circle is cut somewhere."""
    by_name = {(table.schema, table.name): table for table in tables.values()}
    found: list[int] = []
    seen: set[int] = set()

    def visit(table: Table) -> None:
        seen.add(table.oid)
        for reference in table.referenced_by:
            child = by_name.get((reference.schema, reference.table))
            if child is not None and child.oid not in seen:
                visit(child)
        found.append(table.oid)

    visit(root)
    return found[::-1]
