"""Aggregates as the library's own repository rebuilds them from the store, against the rows of the views."""

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pytest
from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.persistence import EventStore
from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.domain.aggregate import Aggregate
from action_ledger.domain.batch import Batch
from action_ledger.domain.columns import col
from action_ledger.domain.execution import Execution
from action_ledger.domain.undo import Undo
from action_ledger.ops import Ledger, open_ledger
from tests.accounts import view_of
from tests.crash.harness import make_places


def replay(ledger: Ledger, kind: type[Aggregate], id_: UUID) -> Aggregate:
    events: Any = EventStore(mapper=ledger.store.mapper, recorder=ledger.store.recorder)
    projector = cast("Callable[..., Any]", kind.project)
    return cast("Aggregate", Repository(events).get(id_, projector_func=projector))


@pytest.mark.every_postgres
def test_replay_equals_the_views(database_url: str, connection: Connection[DictRow]) -> None:
    make_places(connection, 50)
    with open_ledger(database_url) as ledger:
        request = ledger.on("places").all().update(score=col("score") + 1).by("user:1")
        execution = request.batch_size(10).run()
        undo = execution.undo(by="user:2").run()
        undo.redo(by="user:2").submit()
        compared = 0
        for kind, view, key in (
            (Execution, "executions", "execution_id"),
            (Batch, "batches", "batch_id"),
            (Undo, "undos", "undo_id"),
        ):
            rows = connection.execute(
                sql.SQL("SELECT * FROM {}").format(view_of(connection, view))
            ).fetchall()
            for row in rows:
                found = replay(ledger, kind, row[key])
                assert (found.id, found.version) == (row[key], row["version"])
                assert found.status == row["status"]
                compared += 1
        assert compared == 1 + 5 + 2
        with pytest.raises(AggregateNotFoundError):
            replay(ledger, Execution, UUID(int=0))
