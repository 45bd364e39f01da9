"""Any rows, keys and actions: an undo brings back bit for bit what no outsider touched, and touches nothing else."""

import os
from typing import assert_never

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row

from action_ledger.domain import col
from action_ledger.ops import ExecutionHandle, Ledger, UndoHandle, open_ledger
from action_ledger.ops.builder import Request
from tests.any_table import NAME, TABLE, Outsider, Story, insert, make_table, stories
from tests.every_type import find_samples
from tests.exact import dump_rows
from tests.invariants import check_invariants
from tests.servers import TestServer

EXAMPLES = 500 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 25
"""For each version of PostgreSQL; each in a database of its own."""
STRANGER = 1_000
"""Added to the number of a record: that of the row which an outsider inserts under its key."""

Rows = dict[int, tuple[str, bytes]]


class Told:
    """One story, told on a ledger of its own."""

    def __init__(self, ledger: Ledger, connection: Connection[DictRow], story: Story) -> None:
        self.ledger = ledger
        self.connection = connection
        self.story = story
        self.conflicts: dict[int, str] = {}
        """The records that outsiders touched in what was acted on, with the reason that is to be given."""

    def tell(self) -> None:
        """Do, meddle, undo, redo, undo again; and look at everything after each."""
        make_table(self.connection, self.story)
        before, keys = self.rows(), self.keys()
        execution = self.act().run()
        numbers = {key: n for n, key in keys.items()}
        applied = [numbers[one["key"]] for one in execution.changes()]
        after, moved = self.rows(), self.keys()
        self.check_done(execution, applied, before, after)
        self.meddle(applied)
        strange, beside = self.rows(), self.beside()
        restored = self.mixed(before, strange)
        if applied:
            undo = execution.undo(by="t").run()
            self.check_taken_back(undo, applied, keys)
            assert self.rows() == restored
            assert self.beside().items() >= beside.items()
            if undo.progress().applied:
                redo = undo.redo(by="t").run()
                progress = redo.progress()
                assert (redo.status, progress.applied) == ("completed", undo.progress().applied)
                assert self.rows() == self.mixed(after, strange)
                self.check_taken_back(execution.undo(by="t").run(), applied, keys)
            assert self.rows() == restored
        touched = [found[n][0] for n in self.conflicts for found in (keys, moved) if n in found]
        check_invariants(self.connection, ledger=self.ledger, tables=[NAME], touched=touched)

    def act(self) -> Request:
        """Ask for the action, on the selection."""
        story, target = self.story, self.ledger.on(NAME)
        match story.selection:
            case "all":
                chosen = target.all()
            case "keys":
                keys = [story.keys[n] for n in sorted(story.chosen) if n < len(story.keys)]
                chosen = target.keys(key if len(key) > 1 else key[0] for key in keys)
            case "where":
                empty = col(story.columns[0].name).is_null()
                chosen = target.where(empty | col("n").in_(sorted(story.chosen | {0})))
            case _:
                assert_never(story.selection)
        match story.kind:
            case "update" | "shift":
                asked = chosen.update(**story.values)
            case "soft":
                asked = chosen.delete()
            case "hard":
                asked = chosen.delete(hard=True)
            case "restore":
                asked = chosen.restore(mark="deleted")
            case "archive":
                asked = chosen.archive(story.columns[0].name)
            case _:
                assert_never(story.kind)
        return asked.by("t").batch_size(story.batch_size)

    def check_done(
        self, execution: ExecutionHandle, applied: list[int], before: Rows, after: Rows
    ) -> None:
        """What was not applied is as it was, for a reason that only some actions have."""
        progress = execution.progress()
        assert (execution.status, progress.applied) == ("completed", len(set(applied)))
        assert not progress.failed or self.story.kind in ("update", "shift")
        assert {n: row for n, row in after.items() if n not in applied} == {
            n: row for n, row in before.items() if n not in applied
        }

    def meddle(self, applied: list[int]) -> None:
        """Let outsiders do what they do to records that were changed."""
        for outsider in self.story.outsiders:
            if applied and (n := applied[outsider.record % len(applied)]) not in self.conflicts:
                self.meddle_with(n, outsider)

    def meddle_with(self, n: int, outsider: Outsider) -> None:
        """Touch one record: what was acted on, or another column, or all of it."""
        story = self.story
        if story.kind == "hard":
            insert(self.connection, story, n, n + STRANGER)
            self.conflicts[n] = "taken"
            return
        if outsider.does == "beside":
            statement = sql.SQL("UPDATE {} SET beside = -7 WHERE n = {}")
            self.connection.execute(statement.format(TABLE, sql.Literal(n)))
            return
        acted = self.acted()
        if outsider.does != "change" or acted is None:
            statement = sql.SQL("DELETE FROM {} WHERE n = {}")
            self.connection.execute(statement.format(TABLE, sql.Literal(n)))
            self.conflicts[n] = "gone"
            return
        name, filled = acted
        self.connection.execute(
            sql.SQL("UPDATE {0} SET {1} = CASE WHEN {1} IS NULL THEN {2} END WHERE n = {3}").format(
                TABLE, sql.Identifier(name), filled, sql.Literal(n)
            )
        )
        self.conflicts[n] = "changed_since"

    def acted(self) -> tuple[str, sql.Composable] | None:
        """Name a column that the action sets, and a value for it that is not null; None where it is of the key."""
        marks = [
            sql.SQL("true") if type_ == "boolean" else sql.SQL("now()")
            for type_ in self.story.marks
        ]
        match self.story.kind:
            case "update":
                one = next(one for one in self.story.columns if one.name in self.story.values)
                filled = next((value for value in one.pool if value is not None), None)
                if filled is None:
                    return None
                return one.name, sql.SQL("{}::{}").format(sql.Literal(filled), one.declared)
            case "soft" | "restore":
                return "deleted_at", marks[0]
            case "archive":
                return "archived_at", marks[1]
            case _:
                return None

    def check_taken_back(
        self, undo: UndoHandle, applied: list[int], keys: dict[int, tuple[str, ...]]
    ) -> None:
        """Everything came back but for what outsiders touched, and that is listed."""
        progress = undo.progress()
        assert (undo.status, progress.failed) == ("completed", 0), list(undo.failures())
        assert {one.key: one.reason for one in undo.conflicts()} == {
            keys[n]: reason for n, reason in self.conflicts.items()
        }
        assert list(undo.skipped()) == []
        assert progress.skipped == len(self.conflicts)
        assert progress.applied == len(applied) - len(self.conflicts)

    def mixed(self, untouched: Rows, strange: Rows) -> Rows:
        """Give what is to be there: outsiders' rows as they left them, all others as they are to be."""
        theirs = {n: row for n, row in strange.items() if n in self.conflicts or n >= STRANGER}
        return {n: row for n, row in untouched.items() if n not in self.conflicts} | theirs

    def rows(self) -> Rows:
        """Read every row bit for bit, but for the column that is no action's."""
        return dump_rows(self.connection, TABLE, "n", leaving_out=("beside",))

    def beside(self) -> dict[int, int | None]:
        """Read that column."""
        statement = sql.SQL("SELECT n, beside FROM {}").format(TABLE)
        return {row["n"]: row["beside"] for row in self.connection.execute(statement)}

    def keys(self) -> dict[int, tuple[str, ...]]:
        """Read each row's key as text, as the ledger lists it."""
        parts = [sql.SQL("{}::text").format(sql.Identifier(name)) for name in self.story.key_names]
        statement = sql.SQL("SELECT n, ARRAY[{}] AS key FROM {}").format(
            sql.SQL(", ").join(parts), TABLE
        )
        return {row["n"]: tuple(row["key"]) for row in self.connection.execute(statement)}


@pytest.mark.slow
@pytest.mark.every_postgres
def test_any_round_trip(server: TestServer, connection: Connection[DictRow]) -> None:
    samples = find_samples(connection)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(stories(samples))
    def check(story: Story) -> None:
        with (
            server.database() as url,
            Connection[DictRow].connect(url, autocommit=True, row_factory=dict_row) as own,
            open_ledger(url) as ledger,
        ):
            Told(ledger, own, story).tell()

    check()
