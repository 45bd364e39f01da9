"""What an execution did not get done is tried again, as an execution of its own."""

import pytest
from psycopg import Connection
from psycopg.errors import QueryCanceled
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    ExecutionNotEnded,
    InvalidParameters,
    InvalidSchedule,
    InvalidValue,
)
from action_ledger.domain.selection import Unfinished
from action_ledger.ops import Ledger
from tests.crash.harness import until
from tests.integration.conftest import PLACES
from tests.integration.test_steering import changed, submitted
from tests.invariants import check_invariants

pytestmark = pytest.mark.every_postgres


def test_only_what_failed(ledger: Ledger, forbidden: str, connection: Connection[DictRow]) -> None:
    first = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1").run()
    assert first.progress().failed == 3
    undo = first.undo(by="user:1").keys([1]).submit()
    connection.execute("ALTER TABLE places ADD CONSTRAINT kept CHECK (id <> 1 OR score > 1000)")
    undo.finish()
    assert undo.progress().failed == 1, "which is no failure of the execution"
    connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
    again = first.retry(by="user:2", reason="the rule is gone").run()
    assert (again.status, again.progress().total, again.progress().applied) == ("completed", 3, 3)
    assert again.row()["retry_of"] == first.id
    assert changed(connection) == PLACES
    check_invariants(connection, ledger=ledger, tables=["places"])
    assert again.undo(by="user:2").run().progress().applied == 3
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_what_was_skipped_did_not_fail(ledger: Ledger, forbidden: str) -> None:
    request = ledger.on(forbidden).keys([15, PLACES + 1]).update(score=1015)
    first = request.by("user:1").run()
    assert (first.progress().failed, first.progress().skipped) == (1, 1)
    assert first.retry(by="user:2").run().progress().total == 1


def test_what_a_part_of_a_split_batch_has_done_is_done(
    ledger: Ledger, places: str, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ledger.on(places).all().update(score=col("score") + 1000).by("user:1").submit()
    worker = ledger.worker()
    assert worker.step(first.id)
    with monkeypatch.context() as patch:
        patch.setattr("action_ledger.workers.work.apply_batch", too_slow)
        assert worker.step(first.id)
    until(lambda: worker.step(first.id), "a part's turn")
    first.cancel(by="user:1")
    again = first.retry(by="user:1", not_processed=True).run()
    assert (first.progress().applied, again.progress().total) == (PLACES / 2, PLACES / 2)
    check_invariants(connection, ledger=ledger, tables=["places"])


def too_slow(*_: object, **__: object) -> None:
    raise QueryCanceled


def test_the_condition_is_repeated(
    ledger: Ledger, forbidden: str, connection: Connection[DictRow]
) -> None:
    chosen = ledger.on(forbidden).where(col("country") == "DE")
    first = chosen.update(score=col("score") + 1000).by("user:1").run()
    assert {one.key[0] for one in first.failures()} == {"15", "25"}
    connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
    connection.execute("UPDATE places SET country = 'IT' WHERE id = 15")
    again = first.retry(by="user:2").run()
    assert again.progress().applied == 1
    assert [(one.key[0], one.reason) for one in again.skipped()] == [("15", "no_longer_matches")]


def test_what_was_not_processed(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    first = submitted(ledger, places)
    for _ in range(4):
        ledger.worker().step()
    first.cancel(by="user:1")
    again = first.retry(by="user:1", failed=False, not_processed=True).submit()
    ledger.worker().finish(again.id)
    counts = again.progress()
    assert (counts.status, counts.applied, counts.batches) == ("completed", 70, 7)
    assert changed(connection) == PLACES
    check_invariants(connection, ledger=ledger, tables=["places"])


def test_nothing_is_left(ledger: Ledger, places: str) -> None:
    first = ledger.on(places).keys([1]).update(note="x").by("user:1").run()
    again = first.retry(by="user:1").run()
    assert (again.status, again.progress().total) == ("completed", 0)


def test_keys_of_several_columns(ledger: Ledger, connection: Connection[DictRow]) -> None:
    connection.execute(
        "CREATE TABLE pairs (a text, b uuid DEFAULT gen_random_uuid(), n int CHECK (n < 100),"
        " PRIMARY KEY (a, b)); INSERT INTO pairs (a, n) SELECT 'it''s {' || i, i FROM generate_series(1, 120) i"
        " WHERE i < 100"
    )
    first = ledger.on("pairs").all().update(n=col("n") + 1).by("user:1").batch_size(20).run()
    assert first.progress().failed == 1
    connection.execute("ALTER TABLE pairs DROP CONSTRAINT pairs_n_check")
    again = first.retry(by="user:1").run()
    assert [change["after"] for change in again.changes()] == [{"n": "100"}]


class TestRefusals:
    def test_one_that_has_not_ended(self, ledger: Ledger, places: str) -> None:
        with pytest.raises(ExecutionNotEnded):
            submitted(ledger, places).retry(by="user:1").run()

    def test_another_table(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        connection.execute("CREATE TABLE others (id bigint PRIMARY KEY, note text)")
        first = ledger.on(places).keys([1]).update(note="x").by("user:1").run()
        command = ledger.on("others").all().update(note="x").by("user:1").command()
        other = command.model_copy(update={"selection": Unfinished(of=first.id)})
        with pytest.raises(InvalidValue, match="was over"):
            ledger.run(other)

    def test_streaming(self, ledger: Ledger, places: str) -> None:
        first = ledger.on(places).keys([1]).update(note="x").by("user:1").run()
        with pytest.raises(InvalidParameters, match="gated"):
            first.retry(by="user:1").streaming().run()

    def test_scheduled(self, ledger: Ledger, places: str) -> None:
        """It was refused with an error of pydantic's."""
        first = ledger.on(places).keys([1]).update(note="x").by("user:1").run()
        with pytest.raises(InvalidSchedule, match="a retry is not scheduled"):
            first.retry(by="user:1").schedule(cron="0 4 * * *", timezone="UTC")
