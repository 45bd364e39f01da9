"""Any tables that refer to each other, any rows in them, and anything that is done to them: strategies, and the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st
from psycopg import Connection, sql
from psycopg.rows import DictRow

Kind = Literal["update", "refer", "soft", "archive", "restore", "hard"]
Scope = Literal["whole", "keys", "batch"]
Row = dict[str, Any]
Place = tuple[str, tuple[str, ...]]
"""A row's table, and its key as the ledger lists it."""
Rows = dict[Place, Row]

ON_DELETE = ("CASCADE", "CASCADE", "CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")
DEFERRABLE = ("NOT DEFERRABLE", "NOT DEFERRABLE", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")
MOST_ROWS = 4


@dataclass(frozen=True, slots=True)
class AnyForeignKey:
    """A foreign key, which is the ``n``-th of all; its columns are those of the same number."""

    n: int
    child: int
    parent: int
    to_unique: bool
    """Whether it refers to ``u``, and not to the key."""
    on_delete: str
    deferrable: str
    nullable: bool
    default: int | None
    targets: tuple[int | None, ...]
    """The rows of the parent that the child's rows refer to."""


@dataclass(frozen=True, slots=True)
class AnyTable:
    """A table with ``rows`` rows, numbered from 0."""

    n: int
    composite: bool
    rows: int

    @property
    def name(self) -> str:
        return f"public.t{self.n}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier("public", f"t{self.n}")

    @property
    def key(self) -> tuple[str, ...]:
        return ("k1", "k2") if self.composite else ("k1",)

    def key_of(self, row: int) -> tuple[int, ...]:
        """Give the key of a row, which ``k1`` alone tells already."""
        return (row, row % 2) if self.composite else (row,)


@dataclass(frozen=True, slots=True)
class Act:
    """An action on some rows of a table."""

    table: int
    kind: Kind
    rows: frozenset[int]
    value: int
    size: int


@dataclass(frozen=True, slots=True)
class TakeBack:
    """The undo of the ``which``-th execution so far, or of a part of it."""

    which: int
    scope: Scope
    rows: frozenset[int]
    policy: Literal["skip", "fail", "force"]


@dataclass(frozen=True, slots=True)
class DoAgain:
    """The redo of the ``which``-th undo or redo so far."""

    which: int


@dataclass(frozen=True, slots=True)
class Meddle:
    """What somebody else does to a row; the database may refuse it."""

    table: int
    row: int
    does: Literal["change", "refer", "delete", "insert"]
    value: int


Step = Act | TakeBack | DoAgain | Meddle


@dataclass(frozen=True, slots=True)
class Story:
    """One example."""

    tables: tuple[AnyTable, ...]
    keys: tuple[AnyForeignKey, ...]
    steps: tuple[Step, ...]

    def referring(self, table: int) -> list[AnyForeignKey]:
        """Give the foreign keys of a table."""
        return [key for key in self.keys if key.child == table]

    def columns(self, key: AnyForeignKey) -> list[tuple[str, str]]:
        """Pair the columns of a foreign key with those that they refer to."""
        if key.to_unique:
            return [(f"f{key.n}_1", "u")]
        parent = self.tables[key.parent]
        return [(f"f{key.n}_{place}", name) for place, name in enumerate(parent.key, 1)]

    def values(self, key: AnyForeignKey, target: int | None) -> dict[str, int | None]:
        """Give what the columns of a foreign key hold where they refer to a row of the parent."""
        columns = self.columns(key)
        if target is None:
            return dict.fromkeys(name for name, _ in columns)
        parent = self.tables[key.parent]
        row = {"u": target + 100, **dict(zip(parent.key, parent.key_of(target), strict=True))}
        return {own: row[theirs] for own, theirs in columns}

    def row(self, table: AnyTable, n: int) -> dict[str, int | None]:
        """Give a row as it is at first."""
        row: dict[str, int | None] = dict(zip(table.key, table.key_of(n), strict=True))
        row |= {"u": n + 100, "v": 0}
        for key in self.referring(table.n):
            row |= self.values(key, key.targets[n % len(key.targets)])
        return row


@st.composite
def foreign_keys(
    draw: st.DrawFn, tables: Sequence[AnyTable], others: Sequence[AnyForeignKey]
) -> AnyForeignKey:
    """Draw a foreign key between any two tables, which may be one: often the way back of the one before."""
    child, parent = draw(st.sampled_from(tables)), draw(st.sampled_from(tables))
    back = draw(st.booleans())
    if back and others:
        child, parent = tables[others[-1].parent], tables[others[-1].child]
    nullable = draw(st.booleans())
    target: st.SearchStrategy[int | None] = st.integers(0, parent.rows - 1)
    return AnyForeignKey(
        n=len(others),
        child=child.n,
        parent=parent.n,
        to_unique=draw(st.sampled_from([False, False, True])),
        on_delete=draw(st.sampled_from(ON_DELETE)),
        deferrable=draw(st.sampled_from(DEFERRABLE)),
        nullable=nullable,
        default=draw(st.none() | st.integers(0, parent.rows - 1)),
        targets=tuple(
            draw(st.lists(st.none() | target if nullable else target, min_size=1, max_size=5))
        ),
    )


def steps(tables: int) -> st.SearchStrategy[Step]:
    """Anything that may be done next."""
    table, row = st.integers(0, tables - 1), st.integers(0, MOST_ROWS)
    rows = st.frozensets(st.integers(0, MOST_ROWS - 1), min_size=1)
    kinds = st.sampled_from(
        ["hard", "hard", "hard", "update", "refer", "soft", "archive", "restore"]
    )
    scopes = st.sampled_from(["whole", "whole", "keys", "batch"])
    policies = st.sampled_from(["skip", "skip", "skip", "fail", "force"])
    acts = st.builds(Act, table, kinds, rows, st.integers(0, 3), st.integers(1, 4))
    backs = st.builds(TakeBack, st.integers(0, 3), scopes, rows, policies)
    does = st.sampled_from(["change", "refer", "delete", "insert"])
    return st.one_of(
        acts,
        backs,
        backs,
        st.builds(DoAgain, st.integers(0, 3)),
        st.builds(Meddle, table, row, does, st.integers(0, 3)),
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw one example. It begins with a delete, and ends with the undo of what was done first."""
    count = draw(st.integers(2, 5))
    tables = tuple(
        AnyTable(n, draw(st.booleans()), draw(st.integers(1, MOST_ROWS))) for n in range(count)
    )
    keys: list[AnyForeignKey] = []
    for _ in range(draw(st.integers(1, 6))):
        keys.append(draw(foreign_keys(tables, keys)))
    rows = st.frozensets(st.integers(0, MOST_ROWS - 1), min_size=1)
    first = draw(
        st.builds(
            Act, st.integers(0, count - 1), st.just("hard"), rows, st.just(0), st.integers(1, 4)
        )
    )
    between = draw(st.lists(steps(count), max_size=6))
    return Story(tables, tuple(keys), (first, *between, TakeBack(0, "whole", frozenset(), "skip")))


def make_tables(connection: Connection[DictRow], story: Story) -> None:
    """Make the tables and their rows, and then the foreign keys, which hold from the beginning."""
    for table in story.tables:
        names = [*table.key, "u", "v"]
        definitions: list[sql.Composable] = [
            sql.SQL("{} int").format(sql.Identifier(name)) for name in (*table.key, "v")
        ]
        definitions.append(
            sql.SQL("u int UNIQUE, deleted_at timestamptz, archived_at date, archive_reason text")
        )
        for key in story.referring(table.n):
            default = story.values(key, key.default)
            definitions += [
                sql.SQL("{} int {} DEFAULT {}").format(
                    sql.Identifier(name),
                    sql.SQL("NULL" if key.nullable else "NOT NULL"),
                    sql.Literal(default[name]),
                )
                for name, _ in story.columns(key)
            ]
            names += [name for name, _ in story.columns(key)]
        connection.execute(
            sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(
                table.identifier,
                sql.SQL(", ").join(definitions),
                sql.SQL(", ").join(map(sql.Identifier, table.key)),
            )
        )
        for n in range(table.rows):
            insert(connection, table, story.row(table, n))
    for key in story.keys:
        own, theirs = zip(*story.columns(key), strict=True)
        connection.execute(
            sql.SQL(
                "ALTER TABLE {} ADD FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} {}"
            ).format(
                story.tables[key.child].identifier,
                sql.SQL(", ").join(map(sql.Identifier, own)),
                story.tables[key.parent].identifier,
                sql.SQL(", ").join(map(sql.Identifier, theirs)),
                sql.SQL(key.on_delete),
                sql.SQL(key.deferrable),
            )
        )


def insert(connection: Connection[DictRow], table: AnyTable, row: Row) -> None:
    """Insert a row."""
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            table.identifier,
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(map(sql.Literal, row.values())),
        )
    )


def read_rows(connection: Connection[DictRow], story: Story) -> Rows:
    """Read every row of every table."""
    return {
        (table.name, tuple(str(row[name]) for name in table.key)): row
        for table in story.tables
        for row in connection.execute(sql.SQL("SELECT * FROM {}").format(table.identifier))
    }
