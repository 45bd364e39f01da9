"""Metrics on the wire: exact figures of a run with faults, nothing of what was rolled back, and no secrets."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from opentelemetry import metrics as api
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

from action_ledger.projections import names
from tests.crash.test_connections import struck, terminate
from tests.otlp import receiver
from tests.spans import SECRET

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg import Connection
    from psycopg.rows import DictRow

    from action_ledger.ops import Ledger
    from tests.otlp import MetricsReceiver

pytestmark = pytest.mark.usefixtures("places")

Figures = dict[str, dict[tuple[str, ...], float]]


class Wire:
    """What a collector has of this process's metrics."""

    def __init__(self, provider: MeterProvider, received: MetricsReceiver) -> None:
        self._provider = provider
        self._received = received

    @property
    def sent(self) -> bytes:
        """Everything that was sent."""
        return self._received.wire

    def figures(self) -> Figures:
        """Give the values of counters and the counts of histograms, by name and the values of their labels."""
        assert self._provider.force_flush()
        figures: Figures = {}
        for name, metric in self._received.newest.items():
            for point in [*metric.sum.data_points, *metric.histogram.data_points]:
                labels = tuple(
                    pair.value.string_value
                    for pair in sorted(point.attributes, key=lambda pair: pair.key)
                )
                value = point.as_int if hasattr(point, "as_int") else point.count
                figures.setdefault(name, {})[labels] = value
        return figures

    def sum_of(self, name: str) -> float:
        """Give the sum of all values of a histogram."""
        points = self._received.newest[name].histogram.data_points
        return float(sum(point.sum for point in points))


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Generator[Wire]:
    with receiver() as collector:
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=collector.endpoint, insecure=True), 3_600_000
        )
        provider = MeterProvider([reader], shutdown_on_exit=False)
        monkeypatch.setattr(api, "get_meter_provider", lambda: provider)
        yield Wire(provider, collector.metrics)
        provider.shutdown()


def meddle(connection: Connection[DictRow]) -> None:
    """Let one record fail, and another meet two deadlocks before it can be written."""
    connection.execute("CREATE SEQUENCE met")
    connection.execute(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF new.id = 70 THEN RAISE 'no' USING ERRCODE = '23514'; END IF;"
        " IF new.id = 10 AND nextval('met') <= 2 THEN RAISE 'crossed' USING ERRCODE = '40P01'; END IF;"
        " RETURN new; END $$"
    )
    connection.execute(
        "CREATE TRIGGER meddle BEFORE UPDATE ON places FOR EACH ROW EXECUTE FUNCTION meddle()"
    )


def test_a_run_with_a_failure_a_retry_and_a_split(
    ledger: Ledger, connection: Connection[DictRow], wire: Wire
) -> None:
    meddle(connection)
    execution = ledger.on("places").all().update(note=SECRET).by("user:1").batch_size(50).submit()
    ledger.worker().finish(execution.id)
    assert (execution.status, execution.progress().failed) == ("completed", 1)
    assert wire.figures() == {
        names.RECORDS: {("update", "applied", "batch"): 99, ("update", "failed", "batch"): 1},
        names.RETRIES: {("40P01",): 2},
        names.SPLITS: {("deadlock",): 1},
        names.BATCH_SIZE: {("update", "batch"): 3},
        names.PROCESS_DURATION: {
            ("update", "default", "plan", "action_ledger"): 1,
            ("update", "default", "process", "action_ledger"): 5,
        },
        names.EXECUTION_DURATION: {("update", "completed"): 1},
    }
    assert wire.sum_of(names.BATCH_SIZE) == 100
    assert 0 < wire.sum_of(names.PROCESS_DURATION) < 30
    assert 0 < wire.sum_of(names.EXECUTION_DURATION) < 30
    execution.undo(by="user:1").run()
    compensated = wire.figures()[names.RECORDS]
    assert compensated["update", "applied", "compensation"] == 99
    assert compensated["update", "applied", "batch"] == 99
    for planted in (SECRET, "user:1", str(execution.id), execution.id.hex, "places"):
        assert planted.encode() not in wire.sent
    assert execution.id.bytes not in wire.sent


def test_what_was_rolled_back_is_not_counted(
    ledger: Ledger, connection: Connection[DictRow], wire: Wire
) -> None:
    execution = ledger.on("places").all().update(note="x").by("a").submit()
    worker = ledger.worker()
    worker.step(execution.id)
    with struck("batch.before_commit", 1, lambda: terminate(connection)):
        worker.step(execution.id)
    figures = wire.figures()
    assert names.RECORDS not in figures
    assert names.BATCH_SIZE not in figures
    assert names.EXECUTION_DURATION not in figures
    worker.finish(execution.id)
    figures = wire.figures()
    assert figures[names.RECORDS] == {("update", "applied", "batch"): 100}
    assert figures[names.EXECUTION_DURATION] == {("update", "completed"): 1}


def test_what_failed_for_good_says_of_what(
    ledger: Ledger, connection: Connection[DictRow], wire: Wire
) -> None:
    execution = ledger.on("places").all().update(note="x").by("a").batch_size(50).submit()
    worker = ledger.worker()
    worker.step(execution.id)
    connection.execute("ALTER TABLE places DROP COLUMN note")
    worker.finish(execution.id)
    figures = wire.figures()
    assert figures[names.RECORDS] == {("update", "failed", "batch"): 100}
    assert names.BATCH_SIZE not in figures
    assert names.RETRIES not in figures
    (failed,) = [labels for labels in figures[names.PROCESS_DURATION] if "process" in labels]
    assert len(failed) == 5
    assert figures[names.PROCESS_DURATION][failed] == 2
    assert figures[names.EXECUTION_DURATION] == {("update", "failed"): 1}


def test_many_executions_are_few_series(ledger: Ledger, wire: Wire) -> None:
    for key in range(1, 31):
        ledger.on("places").keys([key]).update(note=f"{SECRET}{key}").by(f"user:{key}").run()
    figures = wire.figures()
    assert figures == {
        names.RECORDS: {("update", "applied", "batch"): 30},
        names.BATCH_SIZE: {("update", "batch"): 30},
        names.PROCESS_DURATION: {("update", "default", "process", "action_ledger"): 30},
        names.EXECUTION_DURATION: {("update", "completed"): 30},
    }
    assert SECRET.encode() not in wire.sent


def test_a_savepoint_and_a_rehearsal_leave_nothing(ledger: Ledger) -> None:
    done: list[str] = []
    with ledger.store.rehearsal() as transaction:
        transaction.after_commit(lambda: done.append("rehearsed"))
    with ledger.store.transaction() as transaction:
        transaction.after_commit(lambda: done.append("whole"))
        with suppress(ZeroDivisionError), transaction.savepoint():
            transaction.after_commit(lambda: done.append("part"))
            raise ZeroDivisionError
        transaction.after_commit(lambda: 1 / 0)  # said in the log, and no more
        transaction.after_commit(lambda: done.append("last"))
        assert done == []
    with suppress(ZeroDivisionError), ledger.store.transaction() as transaction:
        transaction.after_commit(lambda: done.append("rolled back"))
        raise ZeroDivisionError
    assert done == ["whole", "last"]
