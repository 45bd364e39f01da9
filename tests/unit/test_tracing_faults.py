"""The ledger's spans when something fails: the work, telemetry itself, or there is no SDK at all."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import psycopg.errors
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import INVALID_SPAN, StatusCode
from typing_extensions import override

from action_ledger.projections import tracing
from tests.spans import (
    ALL,
    ORIGIN,
    SECRET,
    Spans,
    attributes,
    collect,
    only,
    process,
    provide,
    send,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context


@pytest.fixture(name="spans")
def recorded(monkeypatch: pytest.MonkeyPatch) -> Spans:
    return collect(monkeypatch)


# ---- failures


@pytest.mark.parametrize("name", ALL)
def test_an_escaping_error_is_named_by_its_class(spans: Spans, name: str) -> None:
    with pytest.raises(LookupError), ALL[name]():
        raise LookupError(SECRET)
    span = only(spans)
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert attributes(span)["error.type"] == "LookupError"
    assert list(span.events) == []
    assert SECRET not in span.to_json()


def test_a_database_error_is_named_by_its_sqlstate(spans: Spans) -> None:
    with pytest.raises(psycopg.Error), process(), tracing.statement("UPDATE", table="places"):
        raise psycopg.errors.UniqueViolation(f"Key (card)=({SECRET}) already exists.")
    statement, batch = spans.get_finished_spans()
    assert attributes(statement)["db.response.status_code"] == "23505"
    for span in (statement, batch):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == "23505"
        assert SECRET not in span.to_json()
    assert "db.response.status_code" not in attributes(batch)


def test_a_retry_that_is_handled_is_no_error(spans: Spans) -> None:
    retries = ("40001", "40P01")
    with (
        pytest.raises(psycopg.Error),
        process(retries=retries),
        tracing.statement("UPDATE", table="places", retries=retries),
    ):
        raise psycopg.errors.DeadlockDetected(SECRET)
    statement, batch = spans.get_finished_spans()
    assert attributes(statement)["db.response.status_code"] == "40P01"
    for span in (statement, batch):
        assert span.status.status_code is StatusCode.UNSET
        assert "error.type" not in attributes(span)


def test_an_interruption_is_no_error(spans: Spans) -> None:
    with pytest.raises(KeyboardInterrupt), process():
        raise KeyboardInterrupt
    assert only(spans).status.status_code is StatusCode.UNSET


def test_a_failure_without_an_exception_is_said(spans: Spans) -> None:
    with process() as current:
        tracing.fail(current, "40001")
    assert only(spans).status.status_code is StatusCode.ERROR
    assert attributes(only(spans))["error.type"] == "40001"


def test_error_type_needs_no_driver() -> None:
    assert tracing.error_type(psycopg.errors.SerializationFailure()) == "40001"
    assert tracing.error_type(psycopg.OperationalError("connection lost")) == "OperationalError"
    assert tracing.error_type(ValueError(SECRET)) == "ValueError"


# ---- telemetry's own faults stay its own


class Broken(SpanProcessor):
    """A processor of the host that fails when a span starts, or when one ends."""

    def __init__(self, moment: str, fault: Exception) -> None:
        self._moment = moment
        self._fault = fault

    @override
    def on_start(self, span: trace.Span, parent_context: Context | None = None) -> None:
        if self._moment == "start":
            raise self._fault

    @override
    def on_end(self, span: ReadableSpan) -> None:
        raise self._fault


class BrokenProvider(trace.TracerProvider):
    """A provider of the host that gives no tracer."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    @override
    def get_tracer(self, *_: object, **__: object) -> trace.Tracer:
        raise self._fault


@pytest.mark.parametrize("moment", ["start", "end", "provider"])
@pytest.mark.parametrize("name", ALL)
def test_a_broken_sdk_never_reaches_the_caller(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, moment: str, name: str
) -> None:
    # Each kind of fault is logged once in a process, so each case has a kind of its own.
    kind = f"Fault_{moment}_{name.replace(' ', '_')}"
    fault: Exception = type(kind, (Exception,), {})(SECRET)
    if moment == "provider":
        provide(monkeypatch, BrokenProvider(fault))
    else:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(Broken(moment, fault))
        provide(monkeypatch, provider)
    done = 0
    for _ in range(3):
        with ALL[name]() as span:
            tracing.planned(span, keys=1, batches=1)
            tracing.fail(span, "40001")
            done += 1
    assert done == 3
    assert tracing.current_traceparent() is None
    assert caplog.text.count(f"Telemetry failed with {kind}") == 1
    assert SECRET not in caplog.text


@pytest.mark.parametrize("name", ALL)
def test_the_callers_own_error_survives_a_broken_sdk(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Broken("end", RuntimeError()))
    provide(monkeypatch, provider)
    with pytest.raises(LookupError, match="mine"), ALL[name]():
        raise LookupError("mine")


# ---- without an SDK


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "provider", [trace.ProxyTracerProvider(), trace.NoOpTracerProvider()], ids=["proxy", "noop"]
)
def test_nothing_is_built_without_an_sdk(
    monkeypatch: pytest.MonkeyPatch, name: str, provider: trace.TracerProvider
) -> None:
    provide(monkeypatch, provider)
    monkeypatch.setattr(tracing, "Recording", None)
    with ALL[name]() as span:
        assert span is INVALID_SPAN
        assert tracing.current_traceparent() is None
        tracing.planned(span, keys=1, batches=1)
        tracing.fail(span, "40001")


def test_the_hosts_context_passes_through_without_an_sdk() -> None:
    link = tracing.link_from(ORIGIN)
    assert link is not None
    with trace.use_span(trace.NonRecordingSpan(link.context)), send(), process():
        assert tracing.current_traceparent() == ORIGIN


def test_spans_that_are_not_sampled_still_link(monkeypatch: pytest.MonkeyPatch) -> None:
    provide(monkeypatch, TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    with send() as span:
        assert not span.is_recording()
        traceparent = tracing.current_traceparent()
        assert traceparent is not None
        assert tracing.link_from(traceparent) is not None
        assert int(traceparent[-2:], 16) & 1 == 0


def test_the_sdk_is_not_imported() -> None:
    code = """
import sys
from action_ledger.ops import telemetry
from action_ledger.projections import tracing
assert not telemetry.configure("1").active
with tracing.statement("COMMIT") as span:
    assert not span.is_recording()
assert telemetry.configure().shutdown()
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "grpc", "psycopg"))])
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}
    )
    assert ran.stdout == "[]\n"
    assert ran.stderr == ""
