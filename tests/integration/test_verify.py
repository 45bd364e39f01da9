"""Verify: what differs is found and named, and a rebuild mends it; the queue in place, around those at work."""

import time

import pytest
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain import batch, col
from action_ledger.ops import Ledger
from action_ledger.projections.progress import Progress
from action_ledger.projections.projection import Recorded
from action_ledger.projections.rows import Rows
from action_ledger.projections.sql_blocks import trusted
from action_ledger.projections.work_queue import TABLE, WorkQueue
from tests.integration.conftest import PLACES
from tests.some_work import end_all, some_work, verified

SURPLUS = (
    "INSERT INTO {} SELECT gen_random_uuid(), w.kind, w.job_id, w.execution_id, w.undo_id, w.batch_id,"
    " w.ordinal, w.records, w.serial, 0, 'now', NULL FROM {} w WHERE w.kind = 'batch' LIMIT 1"
)


def wrong_progress(patch: pytest.MonkeyPatch) -> None:
    project = Progress.project

    def wrong(self: Progress, recorded: Recorded, rows: Rows) -> None:
        project(self, recorded, rows)
        if isinstance(recorded.event, batch.Completed):
            rows.add("executions", recorded.event.execution_id, applied=1, pending=-1)

    patch.setattr(Progress, "project", wrong)


def wrong_queue(patch: pytest.MonkeyPatch) -> None:
    project = WorkQueue.project

    def wrong(self: WorkQueue, recorded: Recorded, rows: Rows) -> None:
        project(self, recorded, rows)
        if isinstance(recorded.event, batch.Planned):
            rows.patch(TABLE, recorded.event.originator_id, serial=True)

    patch.setattr(WorkQueue, "project", wrong)


def wrong_audit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("action_ledger.projections.audit._APART", {"metadata"})


BROKEN = {"progress": wrong_progress, "work_queue": wrong_queue, "audit": wrong_audit}


class TestVerify:
    @pytest.mark.parametrize(
        ("table", "change", "told"),
        [
            ("view_executions_g1", "UPDATE {} SET applied = applied + 1 WHERE total = 3", "applied: live 1, rebuilt 0"),
            ("view_executions_g1", "DELETE FROM {} WHERE total = 3", "missing in the live view"),
            ("view_batches_g1", "UPDATE {} SET change_digest = NULL WHERE records = 10", "change_digest: live None"),
            ("view_undos_g1", "UPDATE {} SET policy = 'force' WHERE of_undo IS NULL", "policy: live 'force', rebuilt 'skip'"),
            ("view_audit_g1", "UPDATE {} SET actor = 'nobody' WHERE position = 3", "audit 3: actor: live 'nobody', rebuilt 'a'"),
            ("view_audit_g1", "DELETE FROM {} WHERE position = 3", "audit 3: missing in the live view"),
            ("work_queue", "UPDATE {} SET ordinal = 99 WHERE kind = 'plan'", "ordinal: live 99, rebuilt 0"),
            ("work_queue", "DELETE FROM {} WHERE kind = 'plan'", "missing in the live view"),
            ("work_queue", SURPLUS, "no event calls for it"),
        ],
        ids=lambda value: value.partition(" ")[0] if isinstance(value, str) else "",
    )  # fmt: skip
    def test_a_row_altered_by_hand_is_named_and_mended(  # noqa: PLR0917
        self,
        ledger: Ledger,
        places: str,
        connection: Connection[DictRow],
        table: str,
        change: str,
        told: str,
    ) -> None:
        some_work(ledger, places)
        altered = connection.execute(
            trusted(change).format(*[sql.Identifier("action_ledger", table)] * 2)
        )
        assert altered.rowcount == 1
        (difference,) = verified(ledger)
        assert told in difference
        name = difference.partition(":")[0]
        ledger.projections.rebuild([name])
        assert verified(ledger) == []

    @pytest.mark.parametrize("broken", list(BROKEN))
    def test_a_wrong_projection_is_found(
        self, ledger: Ledger, places: str, monkeypatch: pytest.MonkeyPatch, broken: str
    ) -> None:
        """Wrong while it wrote the live view, or wrong now: either way the two differ."""
        some_work(ledger, places)
        with monkeypatch.context() as patch:
            BROKEN[broken](patch)
            assert verified(ledger), "wrong now"
            end_all(ledger)
            some_work(ledger, places)
        assert verified(ledger), "wrong then"
        ledger.projections.rebuild()
        assert verified(ledger) == []


class TestQueue:
    def test_what_workers_know_is_kept(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        some_work(ledger, places)
        connection.execute(
            "UPDATE action_ledger.work_queue SET attempts = 3, available_at = 'infinity',"
            " last_error = '40P01', records = records + 1"
        )
        before = queue(connection)
        assert len(verified(ledger)) == 1
        ledger.projections.rebuild(["work_queue"])
        assert verified(ledger) == []
        kept = ("unit_id", "attempts", "available_at", "last_error")
        assert [[row[name] for name in kept] for row in queue(connection)] == [
            [row[name] for name in kept] for row in before
        ]

    def test_a_row_that_a_worker_holds_is_left_to_it(
        self, ledger: Ledger, places: str, connection: Connection[DictRow], database_url: str
    ) -> None:
        """Neither deleted nor mended, nor waited for: it ends with its unit."""
        some_work(ledger, places)
        connection.execute(
            sql.SQL(SURPLUS).format(*[sql.Identifier("action_ledger", "work_queue")] * 2)
        )
        connection.execute(
            "UPDATE action_ledger.work_queue SET records = records + 1 WHERE kind = 'batch'"
        )
        before = queue(connection)
        with (
            Connection.connect(database_url) as worker,
            worker.transaction(),
        ):
            worker.execute("SELECT FROM action_ledger.work_queue FOR UPDATE")
            started = time.monotonic()
            ledger.projections.rebuild(["work_queue"])
            assert time.monotonic() - started < 5
            assert queue(connection) == before
        ledger.projections.rebuild(["work_queue"])
        assert verified(ledger) == []

    def test_work_whose_row_was_lost_is_done_after_all(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        asked = ledger.on(places).all().update(score=col("score") + 1).by("a").batch_size(30)
        execution = asked.submit()
        ledger.worker().step(execution.id)
        ledger.worker().step(execution.id)
        lost = connection.execute("DELETE FROM action_ledger.work_queue").rowcount
        execution.finish()
        assert (lost, execution.status, execution.progress().pending) == (3, "running", 70)
        ledger.projections.rebuild(["work_queue"])
        assert len(queue(connection)) == 3
        execution.finish()
        assert (execution.status, execution.progress().applied) == ("completed", PLACES)


def queue(connection: Connection[DictRow]) -> list[DictRow]:
    """Read the queue; a time may be infinite, so as text."""
    return connection.execute(
        "SELECT unit_id, kind, job_id, ordinal, records, serial, attempts, last_error,"
        " available_at::text FROM action_ledger.work_queue ORDER BY unit_id"
    ).fetchall()
