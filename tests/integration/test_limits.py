"""What the predecessor offered as limits, and never applied without a user, never under concurrency, or not at all.

At most N concurrent executions a user, N records an action, a cooldown after a large one, a rate: in every way in.
"""

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.columns import col
from action_ledger.domain.errors import LimitReached, TooManyRecords
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.builder import Request
from tests.dump import dump_ledger
from tests.invariants import check_invariants

THREADS = 16
ANONYMOUS = "anonymous"
"""A host without users has an actor too."""


@contextmanager
def limited(url: str, **limits: Any) -> Generator[Ledger]:
    settings = Settings.model_validate({"pool_max_size": 18, **limits})
    with open_ledger(url, settings=settings) as ledger:
        yield ledger


def add_one(ledger: Ledger, *, below: int = 50, by: str = ANONYMOUS) -> Request:
    chosen = ledger.on("places").where(col("id") <= below)
    return chosen.update(score=col("score") + 1).by(by)


def accepted(send: Callable[[], object]) -> int:
    """How many of many at once are taken in; the others are refused by a limit."""

    def attempt(_: int) -> bool:
        try:
            send()
        except LimitReached:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(attempt, range(THREADS)))


@pytest.mark.parametrize("actor", [ANONYMOUS, "user:42"])
def test_at_most_n_concurrent_executions_a_user(
    database_url: str, connection: Connection[DictRow], places: str, actor: str
) -> None:
    assert places
    with limited(database_url, max_concurrent_executions=5) as ledger:
        assert accepted(lambda: add_one(ledger, by=actor).submit()) == 5
        assert len(ledger.executions()) == 5
        with pytest.raises(LimitReached) as refused:
            add_one(ledger, by=actor).run()
        assert refused.value.attributes == {
            "limit": "concurrent", "allowed": 5, "actor": actor, "action": None, "retry_at": None,
        }  # fmt: skip
        assert add_one(ledger, by="user:7").run().status == "completed", "others are not concerned"
        ledger.execution(ledger.executions(actor=actor)[0].id).cancel(by=actor)
        assert add_one(ledger, by=actor).run().status == "completed"
        check_invariants(connection, ledger=ledger, tables=["places"], open_jobs=True)


def test_a_rate_holds_when_all_come_at_once(database_url: str, places: str) -> None:
    assert places
    with limited(database_url, max_executions_per_minute=3) as ledger:
        assert accepted(lambda: add_one(ledger, below=0).run()) == 3
        with pytest.raises(LimitReached) as refused:
            add_one(ledger).run()
        oldest = min(one.requested_at for one in ledger.executions())
        assert refused.value.retry_at is not None
        assert (refused.value.retry_at - oldest).total_seconds() == 60
        assert refused.value.limit == "per_minute"


def test_what_was_asked_for_more_than_a_minute_ago_does_not_count(
    database_url: str, connection: Connection[DictRow], places: str
) -> None:
    assert places
    with limited(database_url, max_executions_per_minute=1) as ledger:
        add_one(ledger).run()
        connection.execute(
            "UPDATE action_ledger.view_executions_g1 SET requested_at = requested_at - interval '61 s'"
        )
        add_one(ledger).run()
        with pytest.raises(LimitReached):
            add_one(ledger).run()


def test_a_cooldown_after_a_large_one(database_url: str, places: str) -> None:
    assert places
    with limited(database_url, cooldown_seconds=1.5, cooldown_records=50) as ledger:
        add_one(ledger, below=49).run()
        large = add_one(ledger, below=50).run()
        with pytest.raises(LimitReached) as refused:
            add_one(ledger, below=1).run()
        ended = large.row()["ended_at"]
        assert refused.value.limit == "cooldown"
        assert refused.value.retry_at is not None
        assert (refused.value.retry_at - ended).total_seconds() == 1.5
        assert add_one(ledger, below=1, by="user:7").run().status == "completed"
        assert large.undo(by=ANONYMOUS).run().status == "completed", "the way back is always open"
        time.sleep(1.6)
        assert add_one(ledger, below=1).run().status == "completed"


@pytest.mark.parametrize("how", ["where", "keys", "streamed", "streaming", "retry"])
def test_n_records_an_action(
    database_url: str, connection: Connection[DictRow], places: str, how: str
) -> None:
    assert places
    with limited(database_url, max_records_per_action=20) as ledger:

        def ask(records: int) -> Request:
            target = ledger.on("places")
            keys = range(1, records + 1)
            match how:
                case "keys":
                    target = target.keys(list(keys))
                case "streamed":
                    target = target.keys(iter(keys))
                case _:
                    target = target.where(col("id") <= records)
            request = target.update(score=col("score") + 1).by(ANONYMOUS).batch_size(5)
            return request.streaming() if how == "streaming" else request

        assert ask(20).run().progress().applied == 20
        before = dump_ledger(connection)
        with pytest.raises(TooManyRecords) as refused:
            ask(21).run()
        assert (refused.value.records, refused.value.allowed) == (21, 20)
        assert dump_ledger(connection) == before, "nothing is written"
        check_invariants(connection, ledger=ledger, tables=["places"])


@pytest.mark.parametrize("streaming", [False, True])
def test_n_records_of_what_a_worker_plans(
    database_url: str, connection: Connection[DictRow], places: str, *, streaming: bool
) -> None:
    """The limit is that of the ledger that took it in, and no batch is at work before the total is known."""
    assert places
    with limited(database_url, max_records_per_action=20) as ledger:
        request = add_one(ledger, below=21).batch_size(1)
        execution = (request.streaming() if streaming else request).submit()
    with open_ledger(database_url) as ledger:
        ledger.execution(execution.id).finish()
        found = ledger.execution(execution.id)
        assert (found.status, found.error) == ("failed", "too_many_records")
        assert found.progress().total == 0
        row = connection.execute("SELECT sum(score - id)::int AS added FROM places").fetchone()
        assert row == {"added": 0}
        check_invariants(connection, ledger=ledger, tables=["places"])


def test_limits_of_single_actions_hold_beside_the_general_ones(
    database_url: str, places: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert places
    monkeypatch.setenv("ACTION_LEDGER_ACTION_LIMITS", '{"delete": {"records": 3, "per_minute": 1}}')
    monkeypatch.setenv("ACTION_LEDGER_MAX_EXECUTIONS_PER_MINUTE", "4")
    with open_ledger(database_url, settings=Settings()) as ledger:

        def delete(*keys: int) -> Any:
            return ledger.on("places").keys(list(keys)).delete().by(ANONYMOUS).run()

        with pytest.raises(TooManyRecords):
            delete(1, 2, 3, 4)
        assert delete(1, 2, 3).status == "completed"
        with pytest.raises(LimitReached) as refused:
            delete(4)
        assert refused.value.action == "delete"
        for _ in range(3):
            add_one(ledger).run()
        with pytest.raises(LimitReached) as refused:
            add_one(ledger).run()
        assert refused.value.action is None


def test_the_same_command_again_counts_once(database_url: str, places: str) -> None:
    assert places
    with limited(database_url, max_executions_per_minute=1) as ledger:
        first = add_one(ledger).once("k").run()
        assert add_one(ledger).once("k").run().id == first.id


def test_what_a_host_sent_is_held_to_them_when_it_is_taken_in(
    database_url: str, places: str
) -> None:
    assert places
    with limited(database_url, max_concurrent_executions=1) as ledger:
        with psycopg.connect(database_url) as host:
            sent = [add_one(ledger.within(host)).submit() for _ in range(2)]
        ledger.inbox.take_in()
        assert [one.status for one in sent] == ["requested", "rejected"]
        assert sent[1].error == "limit_reached"


def test_without_limits_nothing_is_asked(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    """In process there is no limit by default, and then no lock either: another's does not hold it up."""
    assert places
    connection.execute(
        "SELECT pg_advisory_lock(hashtextextended('action_ledger.limits:' || %s, 0))", [ANONYMOUS]
    )
    assert add_one(ledger).run().status == "completed"
    assert ledger.settings.limits.records("delete") is None
