"""Sets OpenTelemetry up from the standard ``OTEL_*`` variables, for programs that own their process.

The command line and the workers call ``configure``; ``open_ledger`` does not, because the provider
belongs to the host's process and can be set only once. Nothing of the SDK is imported unless a
variable asks for it. Faults are logged and never raised.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from opentelemetry import metrics, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

Signal: TypeAlias = Literal["TRACES", "METRICS"]
T = TypeVar("T")

SHUTDOWN_SECONDS = 2.0
_OTLP_EXPORTERS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_running: list[Telemetry] = []  # at most one: a process has one provider


class Telemetry:
    """What ``configure`` set up, if anything, and the way to end it in bounded time."""

    def __init__(self, providers: Sequence[TracerProvider | MeterProvider] = ()) -> None:
        self._providers = providers
        self._closing = threading.Event()
        self._closed: list[threading.Event] = []
        if providers:
            self._wait_for_the_end()
            os.register_at_fork(after_in_child=self._wait_for_the_end)
            atexit.register(self.shutdown)

    @property
    def active(self) -> bool:
        """Whether spans or metrics are being exported."""
        return bool(self._providers) and not self._closing.is_set()

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> bool:
        """Send what is left, for ``timeout`` seconds at most; return whether it ended in time.

        Spans that end later are dropped, and so is what is counted later. A second call does nothing.
        """
        if not self._providers or self._closing.is_set():
            return all(closed.is_set() for closed in self._closed)
        self._closing.set()
        until = time.monotonic() + timeout
        if all(closed.wait(max(0, until - time.monotonic())) for closed in self._closed):
            return True
        _log.warning("Telemetry gave up after %g s: its exporter does not answer.", timeout)
        return False

    def _wait_for_the_end(self) -> None:
        # The SDK's own shutdown may wait for 30 s. It runs in threads that are there beforehand, because
        # Python 3.12 refuses to start one at exit: one a provider, so that none waits for the other's
        # collector. A forked child has lost them.
        if not self._closing.is_set():
            self._closing = threading.Event()
            self._closed = [threading.Event() for _ in self._providers]
            for provider, closed in zip(self._providers, self._closed, strict=True):
                threading.Thread(
                    target=self._end,
                    args=(provider, closed),
                    name="action-ledger-telemetry",
                    daemon=True,
                ).start()

    def _end(self, provider: TracerProvider | MeterProvider, closed: threading.Event) -> None:
        self._closing.wait()
        try:
            provider.shutdown()
        except Exception as error:  # noqa: BLE001 - the SDK raises what its readers raised
            _log.warning("Telemetry ended with %s.", type(error).__name__)
        closed.set()


def configure(service_version: str | None = None) -> Telemetry:
    """Start exporting spans and metrics if the environment asks for it and the host has not set up its own.

    Further calls return what the first one started.
    """
    with _lock:
        if not _running:
            started = (
                _carefully(_start, service_version),
                _carefully(_start_metrics, service_version),
            )
            providers: list[TracerProvider | MeterProvider] = [
                provider for provider in started if provider is not None
            ]
            if not providers:
                return Telemetry()
            _running.append(Telemetry(providers))
        return _running[0]


def _carefully(start: Callable[[str | None], T | None], service_version: str | None) -> T | None:
    try:
        return start(service_version)
    except Exception as error:  # noqa: BLE001 - wrong settings must not stop the program
        _log.warning("Telemetry could not be set up: %s.", type(error).__name__)
        return None


def requested_exporters(environment: Mapping[str, str], signal: Signal = "TRACES") -> list[str]:
    """Return the exporters of a signal that the ``OTEL_*`` variables ask for, by their registered names.

    Unlike a host's own SDK the ledger exports nothing by default: an endpoint or an exporter must
    be named. An empty variable counts as unset.
    """

    def value(name: str) -> str:
        return environment.get(name, "").strip()

    if value("OTEL_SDK_DISABLED").lower() == "true":
        return []
    chosen = value(f"OTEL_{signal}_EXPORTER").lower()
    if not chosen:
        endpoint = value(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        chosen = "otlp" if endpoint or value("OTEL_EXPORTER_OTLP_ENDPOINT") else "none"
    own = value(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
    protocol = own or value("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = _OTLP_EXPORTERS.get(protocol or "grpc", f"otlp over {protocol}")
    named = dict.fromkeys(part.strip() for part in chosen.split(","))
    return [otlp if name == "otlp" else name for name in named if name not in {"", "none"}]


def _start(service_version: str | None) -> TracerProvider | None:
    wanted = requested_exporters(os.environ)
    if not wanted or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    exporters: list[SpanExporter] = _exporters("traces", wanted)
    if not exporters:
        return None
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - only when asked for
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=_resource(service_version), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def _start_metrics(service_version: str | None) -> MeterProvider | None:
    wanted = requested_exporters(os.environ, "METRICS")
    # The interface does not export the class of the provider that stands for none.
    if not wanted or type(metrics.get_meter_provider()).__name__ != "_ProxyMeterProvider":
        return None
    exporters: list[MetricExporter | MetricReader] = _exporters("metrics", wanted)
    if not exporters:
        return None
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - only when asked for
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
        MetricReader,
        PeriodicExportingMetricReader,
    )

    readers = [
        each if isinstance(each, MetricReader) else PeriodicExportingMetricReader(each)
        for each in exporters  # Prometheus is registered as one that is read
    ]
    resource = _resource(service_version)
    provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return provider


def _exporters(signal: str, wanted: list[str]) -> list[Any]:
    return [found for name in wanted if (found := _exporter(signal, name)) is not None]


def _exporter(signal: str, name: str) -> Any:  # noqa: ANN401 - it depends on the signal
    group = f"opentelemetry_{signal}_exporter"
    registered = next(iter(entry_points(group=group, name=name)), None)
    if registered is None:
        _log.warning("Telemetry has no exporter named %r.", name)
        return None
    try:
        return registered.load()()
    except Exception as error:  # noqa: BLE001 - one wrong exporter leaves the others
        _log.warning("Telemetry could not start %r: %s.", name, type(error).__name__)
        return None


def _resource(service_version: str | None) -> Resource:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

    ours = {"service.name": "action-ledger"}
    if service_version:
        ours["service.version"] = service_version
    # What is given to create() wins over the environment, so the environment is laid on top.
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})
