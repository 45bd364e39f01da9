"""Undos and redos of any columns, records and policies in any order, with outsiders in between, held to plain Python.

The model knows one thing: each column of each record stands for the newest change set that acted on it.
"""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain.errors import AlreadyUndone, NothingToUndo
from action_ledger.ops import Ledger
from action_ledger.ops.handles import ExecutionHandle, UndoHandle, UndoRequest
from tests.exact import run
from tests.invariants import check_invariants

RECORDS = range(1, 13)
COLUMNS = ("a", "b", "c")
STEPS = 20

pytestmark = pytest.mark.every_postgres

Cell = tuple[int, str]


class Image(NamedTuple):
    """The newest image of a cell: which job wrote it, to which change set, in which direction, and what it was before."""

    job: int
    part: str
    direction: str
    before: int
    after: int


@dataclass
class Model:
    values: dict[Cell, int] = field(default_factory=dict[Cell, int])
    newest: dict[Cell, Image] = field(default_factory=dict[Cell, Image])

    def write(self, cell: Cell, job: int, part: str, direction: str, value: int) -> None:
        self.newest[cell] = Image(job, part, direction, self.values[cell], value)
        self.values[cell] = value

    def take_back(
        self, job: int, of: int | None, policy: str, columns: tuple[str, ...], keys: list[int]
    ) -> tuple[int, int, dict[int, set[str]]] | None:
        """Give how many records came back, how many did not, and the columns of the conflicts; None for nothing."""
        parts: defaultdict[tuple[int, str], list[Cell]] = defaultdict(list)
        for cell, image in self.newest.items():
            stands = image.direction != "undo" if of is None else image.job == of
            if stands and cell[0] in keys and cell[1] in columns:
                parts[cell[0], image.part].append(cell)
        if not parts:
            return None
        back: set[int] = set()
        conflicts: defaultdict[int, set[str]] = defaultdict(set)
        for (record, part), cells in parts.items():
            changed = {cell for cell in cells if self.values[cell] != self.newest[cell].after}
            left = {
                "skip": set(cells) if changed else set[Cell](),
                "force": set[Cell](),
                "merge": changed,
            }
            for cell in set(cells) - left[policy]:
                image = self.newest[cell]
                turned = "redo" if image.direction == "undo" else "undo"
                self.write(cell, job, f"{job} of {part}", turned, image.before)
                back.add(record)
            conflicts[record] |= {name for _, name in left[policy]}
        records = {record for record, _ in parts}
        found = {record: names for record, names in conflicts.items() if names}
        return len(back), len(records - back), found


class Machine:
    """One execution, and what is done to it."""

    def __init__(self, ledger: Ledger, connection: Connection[DictRow], seed: int) -> None:
        self.connection = connection
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.model = Model({(n, name): n for n in RECORDS for name in COLUMNS})
        self.touched: set[str] = set()
        self.jobs: list[UndoHandle] = []
        request = ledger.on("public.items").all().update(a=100, b=200, c=300)
        self.execution: ExecutionHandle = request.by("tester").batch_size(5).run()
        for n in RECORDS:
            for name, value in zip(COLUMNS, (100, 200, 300), strict=True):
                self.model.write((n, name), 0, "0", "do", value)

    def step(self) -> None:
        if self.random.random() < 0.3:
            self.touch()
        else:
            self.take_back()
        rows = self.connection.execute("SELECT * FROM items").fetchall()
        now = {(row["id"], name): row[name] for row in rows for name in COLUMNS}
        assert now == self.model.values

    def touch(self) -> None:
        cell = self.random.choice(RECORDS), self.random.choice(COLUMNS)
        # Sometimes it is set to what some change set knows of it.
        image = self.model.newest[cell]
        value = self.random.choice([self.random.randrange(1000), image.before, image.after])
        statement = sql.SQL("UPDATE items SET {} = %s WHERE id = %s").format(
            sql.Identifier(cell[1])
        )
        self.connection.execute(statement, [value, cell[0]])
        self.model.values[cell] = value
        self.touched.add(str(cell[0]))

    def take_back(self) -> None:
        of = self.random.choice([None, *range(1, len(self.jobs) + 1)])
        policy = self.random.choice(["skip", "merge", "merge", "force"])
        columns = tuple(self.random.sample(COLUMNS, self.random.randint(1, 3)))
        keys = self.random.sample(RECORDS, self.random.randint(1, len(RECORDS)))
        request: UndoRequest = (
            self.execution.undo(by="tester") if of is None else self.jobs[of - 1].redo(by="tester")
        ).on_conflict(policy)
        if self.random.random() < 0.7:
            request = request.keys(keys)
        else:
            keys = list(RECORDS)
        if of is None and len(columns) < len(COLUMNS):
            request = request.columns(*columns)
        else:
            columns = COLUMNS
        expected = self.model.take_back(len(self.jobs) + 1, of, policy, columns, keys)
        if expected is None:
            with pytest.raises((AlreadyUndone, NothingToUndo)):
                request.run()
            return
        shown = request.preview(100)
        undo = request.run()
        self.jobs.append(undo)
        counts = undo.progress()
        conflicts: defaultdict[int, set[str]] = defaultdict(set)
        for one in undo.conflicts():
            conflicts[int(one.key[0])] |= set(one.recorded or ())
        assert (counts.applied, counts.skipped, conflicts) == expected
        assert (shown.tally.applied, shown.tally.skipped, shown.exact) == (*expected[:2], True)


@pytest.mark.parametrize("trigger", ["", "BEFORE", "AFTER"])
@pytest.mark.parametrize("seed", [0, 1, 2, 104, 118, 226])
def test_as_the_model_says(
    ledger: Ledger, connection: Connection[DictRow], seed: int, trigger: str
) -> None:
    """With triggers, change sets are of whole rows, keys included."""
    run(
        connection,
        "CREATE TABLE items (id int PRIMARY KEY, a int, b int, c int)",
        "INSERT INTO items SELECT i, i, i, i FROM generate_series(1, 12) i",
        "CREATE FUNCTION leave_it() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$",
    )
    if trigger:
        connection.execute(
            f"CREATE TRIGGER leave_it {trigger} UPDATE ON items FOR EACH ROW EXECUTE FUNCTION leave_it()".encode()
        )
    machine = Machine(ledger, connection, seed)
    for _ in range(STEPS):
        machine.step()
    check_invariants(connection, ledger=ledger, tables=["public.items"], touched=machine.touched)
