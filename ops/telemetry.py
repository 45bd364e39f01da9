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
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

SHUTDOWN_SECONDS = 2.0
_OTLP_EXPORTERS = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_running: list[Telemetry] = []  # at most one: a process has one provider


class Telemetry:
    """What ``configure`` set up, if anything, and the way to end it in bounded time."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._closing = threading.Event()
        self._closed = threading.Event()
        if provider is not None:
            self._wait_for_the_end()
            os.register_at_fork(after_in_child=self._wait_for_the_end)
            atexit.register(self.shutdown)

    @property
    def active(self) -> bool:
        """Whether spans are being exported."""
        return self._provider is not None and not self._closing.is_set()

    def shutdown(self, timeout: float = SHUTDOWN_SECONDS) -> bool:
        """Send what is left, for ``timeout`` seconds at most; return whether it ended in time.

        Spans that end later are dropped. A second call does nothing.
        """
        if self._provider is None or self._closing.is_set():
            return self._provider is None or self._closed.is_set()
        self._closing.set()
        if ended := self._closed.wait(timeout):
            return ended
        _log.warning("Telemetry gave up after %g s: its exporter does not answer.", timeout)
        return False

    def _wait_for_the_end(self) -> None:
        # The SDK's own shutdown may wait for 30 s. It runs in a thread that is there beforehand,
        # because Python 3.12 refuses to start one at exit. A forked child has lost the thread.
        if not self._closing.is_set():
            self._closing = threading.Event()
            self._closed = threading.Event()
            threading.Thread(target=self._end, name="action-ledger-telemetry", daemon=True).start()

    def _end(self) -> None:
        self._closing.wait()
        if self._provider is not None:
            self._provider.shutdown()
        self._closed.set()


def configure(service_version: str | None = None) -> Telemetry:
    """Start exporting spans if the environment asks for it and the host has not set up its own.

    Further calls return what the first one started.
    """
    with _lock:
        if not _running:
            try:
                provider = _start(requested_exporters(os.environ), service_version)
            except Exception as error:  # noqa: BLE001 - wrong settings must not stop the program
                _log.warning("Telemetry could not be set up: %s.", type(error).__name__)
                provider = None
            if provider is None:
                return Telemetry()
            _running.append(Telemetry(provider))
        return _running[0]


def requested_exporters(environment: Mapping[str, str]) -> list[str]:
    """Return the exporters that the ``OTEL_*`` variables ask for, by their registered names.

    Unlike a host's own SDK the ledger exports nothing by default: an endpoint or an exporter must
    be named. An empty variable counts as unset.
    """

    def value(name: str) -> str:
        return environment.get(name, "").strip()

    if value("OTEL_SDK_DISABLED").lower() == "true":
        return []
    chosen = value("OTEL_TRACES_EXPORTER").lower()
    if not chosen:
        endpoint = value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        chosen = "otlp" if endpoint or value("OTEL_EXPORTER_OTLP_ENDPOINT") else "none"
    protocol = value("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or value("OTEL_EXPORTER_OTLP_PROTOCOL")
    otlp = _OTLP_EXPORTERS.get(protocol or "grpc", f"otlp over {protocol}")
    named = dict.fromkeys(part.strip() for part in chosen.split(","))
    return [otlp if name == "otlp" else name for name in named if name not in {"", "none"}]


def _start(wanted: list[str], service_version: str | None) -> TracerProvider | None:
    if not wanted or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    exporters = [exporter for name in wanted if (exporter := _exporter(name))]
    if not exporters:
        return None
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - only when asked for
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=_resource(service_version), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def _exporter(name: str) -> SpanExporter | None:
    registered = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
    if registered is None:
        _log.warning("Telemetry has no exporter named %r.", name)
        return None
    try:
        exporter: SpanExporter = registered.load()()
    except Exception as error:  # noqa: BLE001 - one wrong exporter leaves the others
        _log.warning("Telemetry could not start %r: %s.", name, type(error).__name__)
        return None
    return exporter


def _resource(service_version: str | None) -> Resource:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

    ours = {"service.name": "action-ledger"}
    if service_version:
        ours["service.version"] = service_version
    # What is given to create() wins over the environment, so the environment is laid on top.
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})
