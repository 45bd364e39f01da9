"""The fluent face: every option of the chain has an effect, and what cannot be meant is refused."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import col
from action_ledger.domain.errors import (
    InvalidParameters,
    IrreversibleCascade,
    NotReversible,
    SelectionMissing,
    SelectionTwice,
)
from action_ledger.ops import ExecutionHandle, Ledger, Settings, open_ledger
from action_ledger.projections.sql_blocks import trusted
from tests.integration.conftest import PLACES

FRENCH = PLACES // 2


def count(connection: Connection[DictRow], condition: str) -> int:
    row = connection.execute(
        trusted(f"SELECT count(*) AS n FROM places WHERE {condition}")
    ).fetchone()
    assert row is not None
    return int(row["n"])


def requested(execution: ExecutionHandle) -> dict[str, object]:
    """What the ledger has recorded of the request."""
    return execution.events()[0].event.model_dump()


def test_the_chain_of_the_readme(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    execution = (
        ledger.on(places)
        .where((col("country") == "FR") & (col("score") < 51))
        .update(note="small", score=col("score") + 1)
        .undoable(days=30)
        .by("user:42", reason="TICKET-4711")
        .run()
    )
    assert execution.status == "completed"
    progress = execution.progress()
    assert (progress.total, progress.applied, progress.pending, progress.percent) == (
        25,
        25,
        0,
        100,
    )
    assert progress.total_final
    assert progress.eta is None or progress.eta == 0
    assert (
        count(connection, "note = 'small' AND score = id + 1 AND country = 'FR' AND id <= 50") == 25
    )
    undo = execution.undo(by="user:42").run()
    assert undo.status == "completed"
    assert undo.progress().applied == 25
    assert count(connection, "note IS NULL AND score = id") == PLACES
    assert [each.id for each in execution.undos()] == [undo.id]


class TestOptions:
    """Each option, against the same chain without it."""

    def test_undoable_sets_the_window(self, ledger: Ledger, places: str) -> None:
        asked = ledger.on(places).keys([1]).update(note="x").by("a")
        assert requested(asked.run())["undo_seconds"] == 7 * 86_400
        assert requested(asked.undoable(days=1.5).run())["undo_seconds"] == 129_600

    def test_irreversible_gives_up_the_undo(self, ledger: Ledger, places: str) -> None:
        execution = ledger.on(places).keys([1]).update(note="x").irreversible().by("a").run()
        with pytest.raises(NotReversible):
            execution.undo(by="a").run()

    def test_irreversible_lets_rows_go_that_a_foreign_key_takes_along(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        connection.execute(
            "CREATE TABLE visits (place bigint REFERENCES places ON DELETE CASCADE);"
            "INSERT INTO visits VALUES (1), (2)"
        )
        asked = ledger.on(places).keys([1]).delete(hard=True).by("a")
        with pytest.raises(IrreversibleCascade):
            asked.run()
        assert asked.irreversible().run().progress().applied == 1
        assert connection.execute("SELECT place FROM visits").fetchall() == [{"place": 2}]

    def test_batch_size_cuts(self, ledger: Ledger, places: str) -> None:
        asked = ledger.on(places).all().update(note="x").by("a")
        assert asked.run().progress().batches == 1
        assert asked.batch_size(30).run().progress().batches == 4

    def test_frozen_changes_what_no_longer_matches(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        asked = ledger.on(places).where(col("score") <= 10).update(note="x").by("a").batch_size(5)
        ended: list[ExecutionHandle] = []
        for request in (asked, asked.frozen()):
            connection.execute("UPDATE places SET score = 3 WHERE id = 3")
            ended.append(request.submit())
            assert ledger.worker().step(ended[-1].id), "it is planned"
            connection.execute("UPDATE places SET score = 1000 WHERE id = 3")
            ended[-1].finish()
        usual, frozen = ended
        assert (usual.progress().applied, usual.progress().skipped) == (9, 1)
        assert [(each.key, each.reason) for each in usual.skipped()] == [
            (("3",), "no_longer_matches")
        ]
        assert (frozen.progress().applied, frozen.progress().skipped) == (10, 0)

    def test_streaming_plans_page_by_page(self, ledger: Ledger, places: str) -> None:
        asked = ledger.on(places).all().update(note="x").by("a").batch_size(10)
        gated = asked.submit()
        assert ledger.worker().step(gated.id)
        assert (gated.progress().total, gated.progress().total_final) == (PLACES, True)
        gated.finish()
        streaming = asked.streaming().submit()
        assert ledger.worker().step(streaming.id)
        growing = streaming.progress()
        assert 0 < growing.total < PLACES
        assert not growing.total_final
        streaming.finish()
        for execution in (gated, streaming):
            assert execution.progress().applied == execution.progress().total == PLACES

    def test_queue_and_priority_choose_who_works_and_what_goes_first(
        self, ledger: Ledger, places: str
    ) -> None:
        late, other, early = (
            ledger.on(places).keys([key]).update(note="x").by("a").queue(queue, priority=n).submit()
            for key, queue, n in ((1, "slow", -5), (2, "other", 0), (3, "slow", 5))
        )
        worker = ledger.worker(queues=["slow"])
        assert worker.step()
        assert [each.status for each in (early, late, other)] == ["completed", "running", "running"]
        assert worker.step()
        assert not worker.step()
        assert [each.status for each in (late, other)] == ["completed", "running"]
        other.finish()

    def test_by_names_actor_and_reason(self, ledger: Ledger, places: str) -> None:
        execution = ledger.on(places).keys([1]).update(note="x").by(" user:1 ", reason="why").run()
        (entry,) = ledger.history(places, 1)
        assert (entry.actor, entry.reason) == ("user:1", "why")
        assert {each.actor for each in ledger.audit(execution_id=execution.id)} == {"user:1"}
        assert [each.id for each in ledger.executions(actor="user:1")] == [execution.id]
        assert ledger.executions(actor="user:2") == []

    def test_actions(self, ledger: Ledger, places: str, connection: Connection[DictRow]) -> None:
        def run(chain: str, **parameters: object) -> int:
            asked = getattr(ledger.on(places).where(col("id") <= 4), chain)(**parameters)
            return int(asked.by("a").run().progress().applied)

        assert run("delete") == 4
        assert count(connection, "deleted_at IS NOT NULL") == 4
        assert run("archive", reason="old") == 4
        assert count(connection, "archived_at IS NOT NULL AND archive_reason = 'old'") == 4
        assert run("restore", mark="archived") == 4
        assert count(connection, "archived_at IS NULL AND deleted_at IS NOT NULL") == 4
        assert run("restore") == 4
        assert count(connection, "deleted_at IS NULL") == PLACES
        assert run("delete", hard=True) == 4
        assert count(connection, "true") == PLACES - 4

    def test_apply_runs_an_action_by_its_name(
        self, ledger: Ledger, places: str, connection: Connection[DictRow]
    ) -> None:
        execution = (
            ledger.on(places)
            .keys([7])
            .apply("update", values={"score": col("score") * 2})
            .by("a")
            .run()
        )
        assert execution.progress().applied == 1
        assert count(connection, "id = 7 AND score = 14") == 1

    def test_options_that_cannot_be_are_refused(
        self, ledger: Ledger, places: str, subtests: pytest.Subtests
    ) -> None:
        asked: Any = ledger.on(places).keys([1]).update(note="x").by("a")
        wrong: list[tuple[str, str, dict[str, Any]]] = [
            *(("batch_size", "batch_size", {"records": n}) for n in (0, -1, 100_001, "many", None)),
            *(
                ("undoable", "undo", {"days": days})
                for days in (0, -1, 91, float("nan"), float("inf"), "long", None)
            ),
            *(("queue", "queue", {"name": name}) for name in ("", " ", "a\0b", "q" * 201, 5)),
            *(("queue", "priority", {"name": "q", "priority": n}) for n in (101, -101, "high")),
        ]
        for option, named, arguments in wrong:
            with subtests.test(option, **arguments):
                with pytest.raises(InvalidParameters) as caught:
                    getattr(asked, option)(**arguments).command()
                assert named in caught.value.detail


class TestSelections:
    def test_where_narrows_where(self, ledger: Ledger, places: str) -> None:
        chosen = ledger.on(places).where(col("country") == "FR").where(col("score") <= 10)
        assert chosen.update(note="x").by("a").run().progress().applied == 5

    def test_all_must_be_said(self, ledger: Ledger, places: str) -> None:
        with pytest.raises(SelectionMissing):
            ledger.on(places).update(note="x").by("a").run()
        assert ledger.on(places).all().update(note="x").by("a").run().progress().applied == PLACES

    def test_a_selection_is_never_replaced_in_silence(self, ledger: Ledger, places: str) -> None:
        given: dict[str, tuple[object, ...]] = {
            "where": (col("id") == 1,),
            "keys": ([1],),
            "all": (),
        }
        for first, second in product(given, repeat=2):
            target = getattr(ledger.on(places), first)(*given[first])
            if first == second == "where":
                continue
            with pytest.raises(SelectionTwice):
                getattr(target, second)(*given[second])


def test_settings_are_the_defaults_of_the_chain(database_url: str, places: str) -> None:
    settings = Settings.model_validate({"batch_size": 7, "undo_expiry_days": 2, "queue": "night"})
    with open_ledger(database_url, settings=settings) as ledger:
        fields = requested(ledger.on(places).all().update(note="x").by("a").submit())
    window = timedelta(days=2).total_seconds()
    assert (fields["batch_size"], fields["undo_seconds"], fields["queue"]) == (7, window, "night")
