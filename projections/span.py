"""One span that is being recorded, and what keeps telemetry's faults away from the ledger.

The rest of the ledger speaks of spans through ``tracing.py``, and of metrics through ``metrics.py``.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import names

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer, TracerProvider

Attributes: TypeAlias = dict[str, str | int]

_MAX_LINKS = 128  # the SDK's own default; more would be cut there, from the other end
_PROPAGATOR = TraceContextTextMapPropagator()
_log = logging.getLogger(__name__)


def active_tracer() -> Tracer | None:
    """Return a tracer, or None while nobody has set up an SDK: then no span is built at all."""
    try:
        provider = trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
            return None
        return _tracer_of(provider)
    except Exception as error:  # noqa: BLE001 - a host's provider may do anything
        _report(type(error).__qualname__)
        return None


@lru_cache(maxsize=1)  # asking the SDK takes a lock and compiles a warning filter, each time
def _tracer_of(provider: TracerProvider) -> Tracer:
    return provider.get_tracer(names.SCOPE, installed_version(), names.SCHEMA_URL)


def installed_version() -> str | None:
    """Return the ledger's version; None when it runs from a copy that was never installed."""
    try:
        return version("action-ledger")
    except PackageNotFoundError:
        return None


class Recording:
    """Starts a span that is current inside the block and ends with it."""

    __slots__ = ("_kind", "_retries", "_span", "_start", "_token")

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        attributes: Attributes,
        *,
        links: list[Link] | None = None,
        retries: Container[str] = (),
    ) -> None:
        # Work that is taken from a queue starts a trace of its own: its command may be a week old.
        parent = context_api.Context() if kind is SpanKind.CONSUMER else None
        self._span: Span = INVALID_SPAN
        self._token: Token[Context] | None = None
        self._kind = kind
        self._retries = retries
        self._start: Callable[[], Span] = lambda: tracer.start_span(
            name, parent, kind, attributes, links, record_exception=False
        )

    def __enter__(self) -> Span:
        safely(self._open)
        return self._span

    def _open(self) -> None:
        self._span = self._start()
        self._token = context_api.attach(trace.set_span_in_context(self._span))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):  # the others, such as KeyboardInterrupt, are no failures
            safely(lambda: self._failed(error))
        if self._token is not None:
            context_api.detach(self._token)  # logs its faults itself
        safely(self._span.end)

    def _failed(self, error: Exception) -> None:
        if self._kind is SpanKind.CLIENT and (sqlstate := _sqlstate(error)):
            self._span.set_attribute(names.DB_RESPONSE_STATUS_CODE, sqlstate)
        if (reason := error_type(error)) not in self._retries:
            fail(self._span, reason)


def fail(span: Span, error_type: str) -> None:
    """Mark a span as failed for good, where no exception leaves its block."""
    if span.is_recording():
        safely(lambda: span.set_status(StatusCode.ERROR))
        safely(lambda: span.set_attribute(names.ERROR_TYPE, error_type))


def error_type(error: BaseException) -> str:
    """Return what ``error.type`` says of an exception: its SQLSTATE, or the name of its class."""
    return _sqlstate(error) or type(error).__qualname__


def current_traceparent() -> str | None:
    """Return the W3C traceparent of the current span, to be stored with events."""
    carrier: dict[str, str] = {}
    safely(lambda: _PROPAGATOR.inject(carrier))
    return carrier.get("traceparent")


@contextmanager
def continuing(traceparent: str | None) -> Generator[None]:
    """Go on with the trace that a stored traceparent names, as if its span were the current one."""
    if not traceparent:
        yield
        return
    token = context_api.attach(_PROPAGATOR.extract({"traceparent": traceparent}))
    try:
        yield
    finally:
        context_api.detach(token)


def link_from(traceparent: str | None) -> Link | None:
    """Return a link to the span that a stored traceparent names; None where it names none."""
    if not traceparent:
        return None
    try:
        origin = trace.get_current_span(_PROPAGATOR.extract({"traceparent": traceparent}))
        found = origin.get_span_context()
    except Exception as error:  # noqa: BLE001 - stored text may be anything
        _report(type(error).__qualname__)
        return None
    return Link(found) if found.is_valid else None


def links_from(traceparents: Iterable[str | None]) -> list[Link]:
    """Return a link to each origin, once, and to 128 of them at most."""
    found = (link_from(traceparent) for traceparent in dict.fromkeys(traceparents))
    return list(islice(filter(None, found), _MAX_LINKS))


def _sqlstate(error: BaseException) -> str | None:
    sqlstate = getattr(error, "sqlstate", None)  # the driver's errors, without the driver
    return sqlstate if isinstance(sqlstate, str) else None


def safely(step: Callable[[], object]) -> None:
    """Run a step of telemetry; its failure is logged and goes no further."""
    try:
        step()
    except Exception as error:  # noqa: BLE001 - telemetry never fails the work that it watches
        _report(type(error).__qualname__)


@cache  # once for each kind of fault: a broken exporter must not fill the log
def _report(error: str) -> None:
    _log.warning("Telemetry failed with %s; the work goes on without it.", error)
