"""What a retry has done is not done once more by another: the change may be one that adds up."""

from concurrent.futures import ThreadPoolExecutor
from types import NoneType

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import AlreadyRetried
from action_ledger.ops import ExecutionHandle, Ledger
from tests.crash.harness import until
from tests.integration.conftest import PLACES
from tests.integration.test_steering import changed
from tests.invariants import check_invariants
from tests.standing import standing
from tests.worker_process import held

pytestmark = pytest.mark.every_postgres


def scores_over(connection: Connection[DictRow], score: int) -> int:
    return len(connection.execute("SELECT FROM places WHERE score > %s", [score]).fetchall())


class TestTwice:
    """What a retry has done is not done once more: the change may be one that adds up."""

    @pytest.fixture
    def first(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> ExecutionHandle:
        """Fail three records, of which one may be changed after that."""
        first = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1").run()
        connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
        connection.execute("ALTER TABLE places ADD CHECK (score NOT IN (1025, 1026))")
        return first

    def test_refused(
        self, ledger: Ledger, first: ExecutionHandle, connection: Connection[DictRow]
    ) -> None:
        again = first.retry(by="user:1").run()
        assert (again.progress().applied, again.progress().failed) == (1, 2)
        with pytest.raises(AlreadyRetried) as refused:
            first.retry(by="user:1").run()
        assert refused.value.retry_id == again.id
        with pytest.raises(AlreadyRetried):
            first.retry(by="user:1").preview()
        connection.execute("ALTER TABLE places DROP CONSTRAINT places_score_check")
        assert again.retry(by="user:1").run().progress().applied == 2
        assert again.undo(by="user:1").run().progress().applied == 1
        with pytest.raises(AlreadyRetried):
            first.retry(by="user:1").run()
        assert changed(connection) == PLACES - 1
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_not_after_one_that_did_nothing_or_was_taken_back(
        self, first: ExecutionHandle, connection: Connection[DictRow]
    ) -> None:
        with_rule = first.retry(by="user:1").submit()
        with_rule.cancel(by="user:1")
        again = first.retry(by="user:1").run()
        undo = again.undo(by="user:1").run()
        connection.execute("ALTER TABLE places DROP CONSTRAINT places_score_check")
        redo = undo.redo(by="user:1").run()
        with pytest.raises(AlreadyRetried):
            first.retry(by="user:1").run()
        redo.redo(by="user:1").run()
        assert first.retry(by="user:1").run().progress().applied == 3
        assert changed(connection) == PLACES

    def test_one_taken_back_by_columns_stands_until_the_last_of_them(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        """Each undo of a column counts the record, so that two of them count more than there are."""
        request = ledger.on(forbidden).keys([15, 25, 26])
        first = request.update(score=col("score") + 1000, note="x").by("user:1").run()
        connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
        again = first.retry(by="user:1").run()
        assert again.progress().applied == 3
        notes = again.undo(by="user:1").columns("note").run()
        with pytest.raises(AlreadyRetried):
            first.retry(by="user:1").run()
        again.undo(by="user:1").keys([15, 25]).run()
        with pytest.raises(AlreadyRetried):
            first.retry(by="user:1").run()
        again.undo(by="user:1").keys([26]).run()
        notes.redo(by="user:1").keys([15]).run()
        with pytest.raises(AlreadyRetried):
            first.retry(by="user:1").run()
        again.undo(by="user:1").run()
        assert first.retry(by="user:1").run().progress().applied == 3
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_one_that_did_nothing_is_not_tried_again_beside_another_that_did(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        first = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1").run()
        in_vain = first.retry(by="user:1").run()
        in_vain_again = in_vain.retry(by="user:1").run()
        connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
        done = first.retry(by="user:1").run()
        assert done.progress().applied == 3
        for late in (in_vain, in_vain_again):
            with pytest.raises(AlreadyRetried) as refused:
                late.retry(by="user:1").run()
            assert refused.value.retry_id == done.id
        done.undo(by="user:1").run()
        assert in_vain_again.retry(by="user:1").run().progress().applied == 3
        for late in (first, in_vain):
            with pytest.raises(AlreadyRetried):
                late.retry(by="user:1").run()
        assert scores_over(connection, 2000) == 0
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_others_of_its_records_are_another_matter(
        self, ledger: Ledger, forbidden: str, connection: Connection[DictRow]
    ) -> None:
        request = ledger.on(forbidden).all().update(score=col("score") + 1000).by("user:1")
        first = request.batch_size(10).on_failure("stop").run()
        connection.execute("ALTER TABLE places DROP CONSTRAINT forbidden")
        assert first.retry(by="user:1").run().progress().applied == 1
        rest = first.retry(by="user:1", failed=False, not_processed=True).run()
        assert rest.progress().applied == 80
        with pytest.raises(AlreadyRetried):
            first.retry(by="user:1", not_processed=True).run()
        assert changed(connection) == PLACES

    def test_two_at_once_over_rows_that_somebody_holds(
        self,
        ledger: Ledger,
        first: ExecutionHandle,
        database_url: str,
        connection: Connection[DictRow],
    ) -> None:
        """Both have cut the same records, and neither has done anything yet, when the rows are let go."""
        waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        with (
            ThreadPoolExecutor(2) as pool,
            held(database_url, "UPDATE places SET note = note WHERE id = 15") as outsider,
        ):
            both = [pool.submit(first.retry(by="user:1").run) for _ in range(2)]
            until(lambda: len(connection.execute(waiting).fetchall()) == 2, "two that wait")
            outsider.rollback()
            refused = [type(each.exception(30)) for each in both]
        assert set(refused) == {AlreadyRetried, NoneType}
        assert scores_over(connection, 1000) == 98
        assert scores_over(connection, 2000) == 0
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_one_that_was_cut_before_the_other_was_done(
        self, ledger: Ledger, first: ExecutionHandle, connection: Connection[DictRow]
    ) -> None:
        two = first.retry(by="user:1").submit()
        with standing("plan.cut", lambda: ledger.worker().step(two.id)):
            assert first.retry(by="user:1").run().progress().applied == 1
        assert (two.status, two.row()["error"]) == ("failed", "already_retried")
        assert scores_over(connection, 2000) == 0
        check_invariants(connection, ledger=ledger, tables=["places"])

    def test_who_waited_for_the_other_finds_nothing_left(
        self, ledger: Ledger, first: ExecutionHandle, connection: Connection[DictRow]
    ) -> None:
        one, two = (first.retry(by="user:1").on_locked("wait").submit() for _ in range(2))
        worker = ledger.worker()
        worker.finish(one.id)
        worker.finish(two.id)
        assert (one.status, two.status) == ("completed", "failed")
        assert two.row()["error"] == "already_retried"
        assert changed(connection) == PLACES - 2
        check_invariants(connection, ledger=ledger, tables=["places"])
