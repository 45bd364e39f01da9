"""Any tables that refer to each other: every row of an undo comes back, or it is listed with a reason that holds (I6)."""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from psycopg import Connection, Error, sql
from psycopg.rows import DictRow, dict_row

from action_ledger.domain.errors import ActionLedgerError
from action_ledger.ops import ExecutionHandle, Ledger, UndoHandle, open_ledger
from action_ledger.ops.outcomes import Outcome
from tests.any_related import (
    Act,
    DoAgain,
    Meddle,
    Place,
    Row,
    Rows,
    Step,
    Story,
    TakeBack,
    insert,
    make_tables,
    read_rows,
    stories,
)
from tests.invariants import check_images, check_invariants
from tests.related_rows import Change, changes, judge, named
from tests.servers import TestServer

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
EXAMPLES = 500 if THOROUGH else 20
PHASES = (Phase.generate, Phase.shrink) if THOROUGH else (Phase.generate,)
NO_PARENT = "23503"
LEFT_BEHIND = "parent_not_restored"


@dataclass
class Back:
    """An undo or a redo, and what it changed."""

    handle: UndoHandle
    done: "Done"
    changed: dict[Place, Change]


@dataclass
class Done:
    """An execution, and what of it has not been taken back."""

    handle: ExecutionHandle
    act: Act
    changed: dict[Place, Change]
    whole: bool = True
    """Whether all of it is still there, as one step."""
    written: set[Place] = field(default_factory=set[Place])
    """The records that it wrote, also where that changed nothing."""


class Told:
    """One story, told on a ledger of its own."""

    def __init__(self, ledger: Ledger, connection: Connection[DictRow], story: Story) -> None:
        self.ledger = ledger
        self.connection = connection
        self.story = story
        self.done: list[Done] = []
        self.backs: list[Back] = []
        self.touched: set[Place] = set()
        """The rows that an outsider changed, himself or by a foreign key."""

    def tell(self) -> None:
        """Do one step after the other, and look at everything after each."""
        make_tables(self.connection, self.story)
        for step in self.story.steps:
            self.take(step)
        check_invariants(self.connection, ledger=self.ledger)
        for table in self.story.tables:
            keys = frozenset(key[0] for name, key in self.touched if name == table.name)
            check_images(self.connection, table.name, keys)

    def take(self, step: Step) -> None:
        """Take one step."""
        match step:
            case Act():
                self.act(step)
            case TakeBack():
                if self.done:
                    self.take_back(self.done[step.which % len(self.done)], step)
            case DoAgain():
                if self.backs:
                    self.do_again(self.backs[step.which % len(self.backs)])
            case Meddle():
                self.meddle(step)
            case _:
                assert_never(step)

    def rows(self) -> Rows:
        """Read every row."""
        return read_rows(self.connection, self.story)

    def act(self, act: Act) -> None:
        """Run an action. One that is refused has changed nothing."""
        table = self.story.tables[act.table]
        keys = [table.key_of(n) for n in sorted(act.rows)]
        chosen = self.ledger.on(table.name).keys(key if len(key) > 1 else key[0] for key in keys)
        referring = self.story.referring(table.n)
        match act.kind:
            case "refer" if referring:
                key = referring[act.value % len(referring)]
                parent = self.story.tables[key.parent]
                asked = chosen.update(**self.story.values(key, act.value % parent.rows))
            case "update" | "refer":
                asked = chosen.update(v=act.value)
            case "soft":
                asked = chosen.delete()
            case "archive":
                asked = chosen.archive("old")
            case "restore":
                asked = chosen.restore(mark="deleted")
            case "hard":
                asked = chosen.delete(hard=True)
            case _:
                assert_never(act.kind)
        before = self.rows()
        try:
            execution = asked.by("t").batch_size(act.size).run()
        except ActionLedgerError:
            assert self.rows() == before
            return
        done = Done(execution, act, changes(before, self.rows()))
        done.written = {(table.name, one["key"]) for one in execution.changes()}
        self.done.append(done)

    def take_back(self, done: Done, step: TakeBack) -> None:
        """Undo an execution, or a part of it."""
        table = self.story.tables[done.act.table]
        request = done.handle.undo(by="t").on_conflict(step.policy)
        if step.scope == "keys":
            keys = [table.key_of(n) for n in sorted(step.rows)]
            request = request.keys(key if len(key) > 1 else key[0] for key in keys)
        elif step.scope == "batch":
            request = request.batches([1])
        before = self.rows()
        try:
            undo = request.run()
        except ActionLedgerError:
            assert self.rows() == before
            return
        listed = self.listed(undo, table.name)
        forced = step.policy == "force"
        strict = done.whole and step.scope == "whole" and not forced
        beside = done.written if forced else set[Place]()
        after = self.rows()
        judge(before, after, done.changed, listed, strict=strict, beside=beside)
        self.check_reasons(undo, table.name, after, done.changed)
        changed = changes(before, after)
        done.whole = False
        for place in changed.keys() - listed.keys():
            done.changed.pop(place, None)
        self.backs.append(Back(undo, done, changed))

    def do_again(self, back: Back) -> None:
        """Redo an undo. A delete that is done again takes along what is there by now."""
        done = back.done
        table = self.story.tables[done.act.table].name
        before = self.rows()
        try:
            redo = back.handle.redo(by="t").run()
        except ActionLedgerError:
            assert self.rows() == before
            return
        after = self.rows()
        listed = self.listed(redo, table)
        changed = changes(before, after)
        reached = redo.reached()
        beside = {place for place in changed if place[0] in reached}
        judge(before, after, back.changed, listed, strict=False, beside=beside)
        done.whole = not done.changed
        done.changed |= changed
        self.backs.append(Back(redo, done, changed))

    def meddle(self, step: Meddle) -> None:
        """Let somebody else do something, as far as the database lets him."""
        table = self.story.tables[step.table]
        referring = self.story.referring(table.n)
        values: dict[str, int | None] = {"v": 10 + step.value}
        if step.does == "refer" and referring:
            key = referring[step.value % len(referring)]
            parent = self.story.tables[key.parent]
            values = self.story.values(key, (step.row + step.value) % parent.rows)
        before = self.rows()
        where = sql.SQL("WHERE k1 = {}").format(sql.Literal(step.row))
        try:
            if step.does == "insert":
                insert(self.connection, table, {**self.story.row(table, step.row), "v": -1})
            elif step.does == "delete":
                self.connection.execute(
                    sql.SQL("DELETE FROM {} {}").format(table.identifier, where)
                )
            else:
                assigned = sql.SQL(", ").join(
                    sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
                    for name, value in values.items()
                )
                self.connection.execute(
                    sql.SQL("UPDATE {} SET {} {}").format(table.identifier, assigned, where)
                )
        except Error:
            assert self.rows() == before
        self.touched |= changes(before, self.rows()).keys()

    def listed(self, undo: UndoHandle, table: str) -> Counter[Place]:
        """Give the rows that an undo says it did not bring back, or not in all of its columns."""
        assert undo.status == "completed"
        every = [*undo.conflicts(), *undo.failures(), *undo.skipped()]
        assert all(one.reason for one in every)
        return Counter((one.table or table, tuple(one.key)) for one in every)

    def check_reasons(
        self, undo: UndoHandle, table: str, after: Rows, changed: Mapping[Place, Change]
    ) -> None:
        """A row is left out for want of another only where that one is not there, for a reason that is not this one.

        Rows of a circle want for each other and for nothing else: none of them has a reason.
        """
        every = [*undo.conflicts(), *undo.failures(), *undo.skipped()]
        of_rows = defaultdict[Place, list[Outcome]](list)
        for one in every:
            of_rows[one.table or table, tuple(one.key)].append(one)
        waiting: dict[Place, list[Place]] = {}
        """The rows that want for others, and for which."""
        for place, outcomes in of_rows.items():
            if all(one.reason == LEFT_BEHIND for one in outcomes):
                waiting[place] = [other for other in of_rows if other[0] == table]
            elif all(one.sqlstate == NO_PARENT for one in outcomes):
                before, _ = changed[place]
                assert before is not None
                missing = self.missing(place[0], before, after)
                assert missing, f"{place} has what it refers to: {outcomes}"
                parents = [named(parent, changed) for parent in missing]
                if all(other in of_rows for other in parents):
                    waiting[place] = [other for other in parents if other is not None]
        while settled := [
            place for place, others in waiting.items() if any(o not in waiting for o in others)
        ]:
            for place in settled:
                del waiting[place]
        assert not waiting, f"they only want for each other: {waiting}"

    def missing(self, table: str, row: Row, rows: Rows) -> list[tuple[str, Row]]:
        """Give the table and the values of what a row refers to and is not there."""
        (child,) = (one for one in self.story.tables if one.name == table)
        found: list[tuple[str, Row]] = []
        for key in self.story.referring(child.n):
            parent = self.story.tables[key.parent].name
            values = {theirs: row[own] for own, theirs in self.story.columns(key)}
            there = (other for (name, _), other in rows.items() if name == parent)
            if None not in values.values() and not any(
                other.items() >= values.items() for other in there
            ):
                found.append((parent, values))
        return found


@pytest.mark.slow
@pytest.mark.every_postgres
def test_any_related_tables(server: TestServer) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        phases=PHASES,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(stories())
    def check(story: Story) -> None:
        with (
            server.database() as url,
            Connection[DictRow].connect(url, autocommit=True, row_factory=dict_row) as own,
            open_ledger(url) as ledger,
        ):
            Told(ledger, own, story).tell()

    check()
