"""Any history of real commands: the views that were written inline are those that a rebuild makes of it."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import RecordsLocked, Refused
from action_ledger.ops import ExecutionHandle, Ledger
from action_ledger.ops.builder import Request
from tests.accounts import check_sums
from tests.dump import dump_ledger
from tests.some_work import verified

Command = Callable[[Ledger, str], object]


def on_some(
    low: int, size: int, batch: int, *, submit: bool, streaming: bool, kind: str
) -> Command:
    """An action of some kind on some records, in some way."""

    def command(ledger: Ledger, table: str) -> object:
        target = ledger.on(table).where(col("id").between(low, low + size))
        kinds: dict[str, Callable[[], Request]] = {
            "add": lambda: target.update(score=col("score") + 1),
            "fail": lambda: target.update(name=col("name").concat("x" * (low % 50))),
            "delete": target.delete,
            "remove": lambda: target.delete(hard=True),
            "archive": lambda: target.archive("why"),
            "restore": target.restore,
        }
        asked = kinds[kind]().by(kind).batch_size(batch)
        asked = asked.streaming() if streaming else asked
        try:
            return asked.submit() if submit else asked.run()
        except RecordsLocked:  # what was submitted before has them, and no worker has come yet
            return None

    return command


def steps(count: int) -> Command:
    """A worker does some units, whatever is open."""

    def command(ledger: Ledger, _: str) -> object:
        worker = ledger.worker()
        return [worker.step() for _ in range(count)]

    return command


def undo(which: int, policy: str, *, redo: bool, submit: bool) -> Command:
    """One of the executions, or its newest undo, is taken back, as far as that is allowed."""

    def command(ledger: Ledger, _: str) -> object:
        views = ledger.executions(limit=8)
        if not views:
            return None
        execution: ExecutionHandle = ledger.execution(views[which % len(views)].id)
        undos = execution.undos()
        asked = undos[-1].redo(by="r") if redo and undos else execution.undo(by="u")
        asked = asked.on_conflict(policy)
        try:
            return asked.submit() if submit else asked.run()
        except Refused:
            return None

    return command


COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        on_some,
        st.integers(0, 100),
        st.integers(0, 60),
        st.integers(1, 30),
        submit=st.booleans(),
        streaming=st.booleans(),
        kind=st.sampled_from(["add", "fail", "delete", "remove", "archive", "restore"]),
    ),
    st.builds(steps, st.integers(1, 6)),
    st.builds(
        undo,
        st.integers(0, 7),
        st.sampled_from(["skip", "force", "fail"]),
        redo=st.booleans(),
        submit=st.booleans(),
    ),
)


@pytest.mark.slow
def test_inline_is_what_a_rebuild_makes(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    """One log for all examples: it only grows, and whatever an example finds is a history too."""

    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the log keeps what was wrong once: there is nothing to shrink
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(COMMANDS, min_size=1, max_size=6))
    def check(commands: list[Command]) -> None:
        for command in commands:
            command(ledger, places)
        assert verified(ledger) == []
        check_sums(connection)  # the two could be wrong alike
        before = dump_ledger(connection)
        generation = {each.name: each.generation for each in ledger.projections.status()}
        ledger.projections.rebuild(["progress", "work_queue"])
        after = dump_ledger(connection)
        for table in ("executions", "batches", "undos"):
            live = f"view_{table}_g{generation['progress']}"
            rebuilt = f"view_{table}_g{generation['progress'] + 1}"
            assert after[rebuilt] == before[live]
        assert after["work_queue"] == before["work_queue"]
        assert verified(ledger) == []

    check()
