"""An OpenTelemetry collector in a few lines: it listens on loopback and keeps what it is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped] # it has no types
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class MetricsReceiver(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Keeps every export of metrics; the newest holds all figures, because they are sums since the start."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []

    @override
    def Export(
        self, request: ExportMetricsServiceRequest, context: Any
    ) -> ExportMetricsServiceResponse:
        del context
        self.requests.append(request)
        return ExportMetricsServiceResponse()

    @property
    def newest(self) -> dict[str, Metric]:
        """The ledger's own metrics of the last export, by name."""
        return {
            metric.name: metric
            for request in self.requests[-1:]
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            if scope.scope.name == "action_ledger"
            for metric in scope.metrics
        }

    @property
    def wire(self) -> bytes:
        """Everything that was sent, as it was sent."""
        return b"".join(request.SerializeToString() for request in list(self.requests))


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps every export request, in the order of arrival."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.requests: list[ExportTraceServiceRequest] = []
        self.metrics = MetricsReceiver()
        self._arrived = Condition()

    @override
    def Export(
        self, request: ExportTraceServiceRequest, context: Any
    ) -> ExportTraceServiceResponse:
        del context
        with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()
        return ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        """All spans so far."""
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def wire(self) -> bytes:
        """Everything that was sent, as it was sent."""
        return b"".join(request.SerializeToString() for request in list(self.requests))

    def wait_for(self, count: int, timeout: float = 10) -> list[Span]:
        """Return the spans as soon as there are ``count`` of them, or what is there in the end."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.spans) >= count, timeout)
        return self.spans


@contextmanager
def receiver() -> Generator[Receiver]:
    """Run a receiver on a free port of the loopback interface."""
    collected = Receiver()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    untyped: Any = trace_service_pb2_grpc
    untyped.add_TraceServiceServicer_to_server(collected, server)
    untyped = metrics_service_pb2_grpc
    untyped.add_MetricsServiceServicer_to_server(collected.metrics, server)
    collected.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collected
    finally:
        server.stop(grace=0).wait()
