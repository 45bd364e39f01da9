"""Metrics without an SDK, and over one that is broken."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

from opentelemetry import metrics as api
from typing_extensions import override

from action_ledger.ops.telemetry import requested_exporters
from action_ledger.projections import metrics

if TYPE_CHECKING:
    import pytest

ALL = """
from action_ledger.projections import metrics
metrics.attempted("process", "update", queue="default", seconds=0.1, error_type="23505")
metrics.ended("update", kind="batch", outcomes={"applied": 1, "failed": 2}, done=True)
metrics.retried("40001")
metrics.split("pace")
metrics.lease_expired()
metrics.writes_fenced(3)
metrics.executed("update", status="completed", seconds=1.5)
"""


class Broken(api.NoOpMeterProvider):
    """A host's provider that cannot do it."""

    @override
    def get_meter(self, *_args: object, **_options: object) -> api.Meter:
        raise LookupError("a secret")


def test_without_an_sdk_nothing_happens() -> None:
    lines = f"import sys\n{ALL}\nassert 'opentelemetry.sdk' not in sys.modules"
    ran = subprocess.run([sys.executable, "-c", lines], capture_output=True, check=True, env={})
    assert ran.stdout + ran.stderr == b""


def test_a_broken_provider_is_logged_and_harmless(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(api, "get_meter_provider", Broken)
    with caplog.at_level(logging.WARNING):
        metrics.retried("40001")
        metrics.executed("update", status="completed", seconds=1)
    assert [record.getMessage() for record in caplog.records] == [
        "Telemetry failed with LookupError; the work goes on without it."
    ]


def test_metrics_have_variables_of_their_own() -> None:
    here = "http://localhost:4317"
    asked = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": here,
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
    }
    assert requested_exporters(asked, "METRICS") == []
    assert requested_exporters(asked) == ["otlp_proto_grpc"]
    del asked["OTEL_METRICS_EXPORTER"]
    assert requested_exporters(asked, "METRICS") == ["otlp_proto_http"]
    assert requested_exporters({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": here}, "METRICS") == []
    assert requested_exporters({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": here}) == []
