"""The predecessor's after-complete hook of an action: told after the commit, at least once, whoever asked."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain import (
    Action,
    Notice,
    Parameters,
    Reversibility,
    effect,
    record_action,
    set_action,
)
from action_ledger.domain.errors import InvalidAction
from action_ledger.ops import Ledger, Settings, open_ledger
from tests.integration.test_hooks import due_now
from tests.invariants import check_invariants

pytestmark = pytest.mark.usefixtures("places")


class Campaign(Parameters):
    name: str


class Told(list[tuple[Notice, Campaign]]):
    """What an action's hook was given; it fails for as long as ``failing`` says."""

    failing = 0

    def __call__(self, notice: Notice, parameters: Campaign) -> None:
        self.append((notice, parameters))
        if self.failing:
            self.failing -= 1
            message = "the service is away"
            raise OSError(message)


def undo_call(*_: object) -> None:
    pass


def calling(told: Any) -> Action:
    @effect(after_complete=told, compensate=undo_call, reversibility=Reversibility.COMPENSABLE)
    def call(record: Any, parameters: Campaign, context: object) -> Any:
        """Call somebody."""
        return record["id"] % 2 == 0 or parameters.name == "all" or not context

    return call


@contextmanager
def opened(url: str, *actions: Action) -> Generator[Ledger]:
    settings = Settings.model_validate({"hook_tries": 3})
    with open_ledger(url, settings=settings, actions=actions) as ledger:
        yield ledger


def test_it_is_told_of_the_completion_with_the_parameters(
    database_url: str, connection: Connection[DictRow]
) -> None:
    told = Told()
    with opened(database_url, calling(told)) as ledger:
        execution = ledger.on("places").all().apply("call", name="spring").by("user:1").run()
        ((notice, parameters),) = told
        assert parameters == Campaign(name="spring")
        assert (notice.event, notice.job_id, notice.status) == (
            "complete", execution.id, "completed",
        )  # fmt: skip
        assert (notice.tally.applied, notice.tally.failed, notice.attempt) == (50, 50, 1)
        # Its undo is what compensate is for; the other ends are told to hooks that ask for them.
        execution.undo(by="user:1").run()
        cancelled = ledger.on("places").all().apply("call", name="x").by("user:1").submit()
        cancelled.cancel(by="user:1")
        ledger.hooks.deliver()
        assert len(told) == 1
        check_invariants(connection, ledger=ledger)


def test_it_is_called_after_the_commit(database_url: str) -> None:
    seen: list[Any] = []

    async def look(notice: Notice, _: Campaign) -> None:
        await asyncio.sleep(0)
        with psycopg.connect(database_url) as other:
            statement = (
                "SELECT status FROM action_ledger.view_executions_g1 WHERE execution_id = %s"
            )
            seen.extend(other.execute(statement, [notice.job_id]).fetchone() or ())

    with opened(database_url, calling(look)) as ledger:
        ledger.on("places").all().apply("call", name="all").by("user:1").run()
    assert seen == ["completed"]


def test_each_kind_of_action_may_have_one(database_url: str) -> None:
    told = Told()

    @set_action(after_complete=told)
    def mark(parameters: Campaign) -> Any:
        """Mark places."""
        return {"note": parameters.name}

    class Note:
        """Note the name of a campaign."""

        parameters = Campaign

        def handler(self, record: Any, parameters: Campaign) -> Any:
            return {"note": f"{record['id']} {parameters.name}"}

        def after_complete(self, notice: Notice, parameters: Campaign) -> None:
            told(notice, parameters)

    with opened(database_url, mark, record_action(Note)) as ledger:
        for name in ("mark", "note"):
            ledger.on("places").all().apply(name, name=name).by("user:1").run()
        request = ledger.on("places").all().apply("mark", name="chained")
        request.then(request).by("user:1").run()
    assert [parameters.name for _, parameters in told] == ["mark", "note", "chained", "chained"]


def test_it_is_tried_again_and_given_up_as_other_hooks_are(
    database_url: str, connection: Connection[DictRow]
) -> None:
    told = Told()
    told.failing = 4
    with opened(database_url, calling(told)) as ledger:
        ledger.on("places").all().apply("call", name="all").by("user:1").run()
        for _ in range(3):
            due_now(connection)
            ledger.hooks.deliver()
        (delivery,) = ledger.hooks.deliveries(failed=True)
        assert (delivery.hook, delivery.attempts, delivery.known) == (
            "call:after_complete",
            3,
            True,
        )
        assert delivery.last_error == "OSError: the service is away"
        assert delivery.parked_at is not None
        assert ledger.hooks.retry("call:after_complete") == 1
        ledger.hooks.deliver()
        due_now(connection)
        ledger.hooks.deliver()
        assert ledger.hooks.deliveries() == []
        assert len({notice.delivery_id for notice, _ in told}) == 1
        assert len(told) == 5


def test_a_process_without_the_action_leaves_it_to_others(
    database_url: str, connection: Connection[DictRow]
) -> None:
    told = Told()
    with opened(database_url, calling(told)) as ledger:
        submitted = ledger.on("places").all().apply("call", name="all").by("user:1").submit()
        ledger.worker().finish(submitted.id)
        with opened(database_url) as other:
            assert other.hooks.deliver() == 0
            (delivery,) = other.hooks.deliveries()
            assert (delivery.hook, delivery.known) == ("call:after_complete", False)
        assert told == []
        # The view says the same when it is built anew, and nothing is told twice then.
        assert ledger.hooks.deliver() == 1
        ledger.projections.rebuild(["hook_deliveries"])
        assert ledger.hooks.deliver() == 0
        check_invariants(connection, ledger=ledger)


def test_what_cannot_be_called_is_refused() -> None:
    for wrong in (7, lambda: None):
        with pytest.raises(InvalidAction):
            calling(wrong)
