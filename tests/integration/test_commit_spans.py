"""The span of a COMMIT: where something is recorded, and with what the server said when it fails."""

import pytest
from opentelemetry.trace import StatusCode
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger
from tests.crash.test_connections import struck, terminate
from tests.spans import attributes, collect

pytestmark = pytest.mark.usefixtures("places")


def test_a_commit_that_fails_says_why(
    ledger: Ledger, connection: Connection[DictRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = ledger.on("places").all().update(note="x").by("user:1").submit()
    worker = ledger.worker()
    worker.step(execution.id)
    spans = collect(monkeypatch)
    with struck("batch.before_commit", 1, lambda: terminate(connection)):
        worker.step(execution.id)
    (commit,) = [span for span in spans.get_finished_spans() if span.name == "COMMIT"]
    (process,) = [span for span in spans.get_finished_spans() if span.name == "process update"]
    assert commit.status.status_code is StatusCode.ERROR
    assert attributes(commit) == {
        "db.system.name": "postgresql",
        "db.operation.name": "COMMIT",
        "db.response.status_code": "57P01",
        "error.type": "57P01",
    }
    assert commit.parent is not None
    assert commit.parent.span_id == process.context.span_id
    spans.clear()
    worker.finish(execution.id)
    assert execution.status == "completed"
    (commit,) = [span for span in spans.get_finished_spans() if span.name == "COMMIT"]
    assert commit.status.status_code is StatusCode.UNSET
    assert "error.type" not in attributes(commit)


def test_looks_and_what_is_rolled_back_have_none(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = collect(monkeypatch)
    assert not ledger.worker().step()
    assert ledger.executions() == []
    with ledger.store.rehearsal() as transaction:
        transaction.cursor.execute("UPDATE places SET note = 'x'")
    assert [span for span in spans.get_finished_spans() if span.name == "COMMIT"] == []
    # A preview rolls back what it tried; what it commits is that somebody looked.
    assert ledger.on("places").all().update(note="x").by("a").preview().count == 100
    assert [span.name for span in spans.get_finished_spans()].count("COMMIT") == 1
