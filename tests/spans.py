"""One of each span, and a way to look at what was recorded in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from action_ledger.projections import tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from opentelemetry.sdk.trace import ReadableSpan

EXECUTION = UUID("018f0000-0000-7000-8000-000000000001")
CORRELATION = UUID("018f0000-0000-7000-8000-000000000002")
UNDO = UUID("018f0000-0000-7000-8000-000000000003")
ORIGIN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECRET = "4111-1111-1111-1111"  # noqa: S105 - planted, to be looked for

Spans = InMemorySpanExporter


def provide(monkeypatch: pytest.MonkeyPatch, provider: trace.TracerProvider) -> None:
    """Put a provider in place for one test: OpenTelemetry itself lets it be set only once."""
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)


def collect(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Collect the spans of one test in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provide(monkeypatch, provider)
    return exporter


def only(spans: Spans) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def links(span: ReadableSpan) -> list[str]:
    return [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links]


def send() -> tracing.Scope:
    return tracing.send(
        "update", queue="default", execution_id=EXECUTION, correlation_id=CORRELATION
    )


def plan(traceparent: str | None = ORIGIN) -> tracing.Scope:
    return tracing.plan("update", queue="default", execution_id=EXECUTION, traceparent=traceparent)


def process(traceparent: str | None = ORIGIN, retries: tuple[str, ...] = ()) -> tracing.Scope:
    return tracing.process(
        "update",
        queue="default",
        execution_id=EXECUTION,
        traceparent=traceparent,
        records=500,
        number=3,
        attempt=2,
        function="action_ledger.workers.update.apply",
        retries=retries,
    )


def undo() -> tracing.Scope:
    return tracing.undo(
        "update",
        queue="default",
        undo_id=UNDO,
        undo_of=EXECUTION,
        policy="skip",
        traceparent=ORIGIN,
    )


def project() -> tracing.Scope:
    return tracing.project(
        "audit", first=11, last=20, traceparents=[ORIGIN, None, ORIGIN, "nonsense"]
    )


ALL: dict[str, Callable[[], tracing.Scope]] = {
    "send update": send,
    "plan update": plan,
    "process update": process,
    "undo update": undo,
    "project audit": project,
    "COMMIT": lambda: tracing.statement("COMMIT"),
}
IN_THE_CALLERS_TRACE = {"send update", "undo update", "COMMIT"}
