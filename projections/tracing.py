"""The ledger's spans: free without an OpenTelemetry SDK, and never a cause of failure.

Only the interface (``opentelemetry-api``) is used here; ``ops/telemetry.py`` sets up what is behind
it. Each function returns a context manager that holds one span. An exception that leaves the block
marks the span as failed, with its type and never its text, because the text of a database error
may quote record values. Types named in ``retries`` are tried again by the caller, so they mark
nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from . import names
from .span import (
    Recording,
    active_tracer,
    continuing,
    current_traceparent,
    error_type,
    fail,
    link_from,
    links_from,
    safely,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from uuid import UUID

    from .span import Attributes

__all__ = [
    "Scope",
    "Server",
    "continuing",
    "current_traceparent",
    "error_type",
    "fail",
    "link_from",
    "plan",
    "planned",
    "process",
    "project",
    "send",
    "statement",
    "undo",
]

Scope: TypeAlias = "AbstractContextManager[Span, None]"

_OFF: Scope = nullcontext(INVALID_SPAN)


@dataclass(frozen=True, slots=True)
class Server:
    """Where statements go: read once from a connection, then named on each statement's span."""

    namespace: str
    address: str
    port: int


def send(action: str, *, queue: str, execution_id: UUID, correlation_id: UUID) -> Scope:
    """Cover the acceptance of a command, as a part of the caller's own trace."""
    if (tracer := active_tracer()) is None:
        return _OFF
    attributes = _message(names.SEND, names.SEND, execution_id, queue)
    attributes[names.MESSAGING_CONVERSATION_ID] = str(correlation_id)
    return Recording(tracer, f"{names.SEND} {action}", SpanKind.PRODUCER, attributes)


def plan(
    action: str,
    *,
    queue: str,
    execution_id: UUID,
    traceparent: str | None,
    retries: Container[str] = (),
) -> Scope:
    """Cover the planning of an execution, in a new trace linked to its ``send``."""
    if (tracer := active_tracer()) is None:
        return _OFF
    return Recording(
        tracer,
        f"{names.PLAN} {action}",
        SpanKind.CONSUMER,
        _message(names.PLAN, names.PROCESS, execution_id, queue),
        links=links_from([traceparent]),
        retries=retries,
    )


def process(
    action: str,
    *,
    queue: str,
    execution_id: UUID,
    traceparent: str | None,
    records: int,
    number: int,
    attempt: int,
    function: str,
    retries: Container[str] = (),
) -> Scope:
    """Cover one attempt at one batch of an execution or undo, in a new trace linked to its origin.

    A last attempt passes no ``retries``: what ends it has failed for good.
    """
    if (tracer := active_tracer()) is None:
        return _OFF
    attributes = _message(names.PROCESS, names.PROCESS, execution_id, queue)
    attributes[names.MESSAGING_BATCH_MESSAGE_COUNT] = records
    attributes[names.BATCH_NUMBER] = number
    attributes[names.ATTEMPT] = attempt
    attributes[names.CODE_FUNCTION_NAME] = function
    return Recording(
        tracer,
        f"{names.PROCESS} {action}",
        SpanKind.CONSUMER,
        attributes,
        links=links_from([traceparent]),
        retries=retries,
    )


def undo(
    action: str,
    *,
    queue: str,
    undo_id: UUID,
    undo_of: UUID,
    policy: str,
    traceparent: str | None,
) -> Scope:
    """Cover the acceptance of an undo, in the caller's trace and linked to the original's origin."""
    if (tracer := active_tracer()) is None:
        return _OFF
    attributes = _message(names.UNDO, names.SEND, undo_id, queue)
    attributes[names.UNDO_OF] = str(undo_of)
    attributes[names.UNDO_POLICY] = policy
    return Recording(
        tracer,
        f"{names.UNDO} {action}",
        SpanKind.PRODUCER,
        attributes,
        links=links_from([traceparent]),
    )


def project(
    projection: str,
    *,
    first: int,
    last: int,
    traceparents: Iterable[str | None],
    retries: Container[str] = (),
) -> Scope:
    """Cover one block of events in a follower, in a new trace linked to at most 128 origins."""
    if (tracer := active_tracer()) is None:
        return _OFF
    return Recording(
        tracer,
        f"{names.PROJECT} {projection}",
        SpanKind.CONSUMER,
        {names.POSITION_FROM: first, names.POSITION_TO: last},
        links=links_from(traceparents),
        retries=retries,
    )


def statement(
    operation: str,
    *,
    table: str | None = None,
    batch_size: int | None = None,
    server: Server | None = None,
    retries: Container[str] = (),
) -> Scope:
    """Cover one SQL statement, inside the current span.

    ``batch_size`` counts statements that were sent together, not the rows of one statement.
    """
    if (tracer := active_tracer()) is None:
        return _OFF
    attributes: Attributes = {
        names.DB_SYSTEM_NAME: names.POSTGRESQL,
        names.DB_OPERATION_NAME: operation,
    }
    if table is not None:
        attributes[names.DB_COLLECTION_NAME] = table
    if batch_size is not None and batch_size != 1:  # the conventions: one statement is no batch
        attributes[names.DB_OPERATION_BATCH_SIZE] = batch_size
    if server is not None:
        attributes[names.DB_NAMESPACE] = server.namespace
        attributes[names.SERVER_ADDRESS] = server.address
        attributes[names.SERVER_PORT] = server.port
    name = operation if table is None else f"{operation} {table}"
    return Recording(tracer, name, SpanKind.CLIENT, attributes, retries=retries)


def planned(span: Span, *, keys: int, batches: int) -> None:
    """Say on a ``plan`` span what came of it."""
    if span.is_recording():
        safely(lambda: span.set_attributes({names.PLAN_KEYS: keys, names.PLAN_BATCHES: batches}))


def _message(operation: str, kind: str, message_id: UUID, queue: str) -> Attributes:
    return {
        names.MESSAGING_SYSTEM: names.SCOPE,
        names.MESSAGING_OPERATION_NAME: operation,
        names.MESSAGING_OPERATION_TYPE: kind,
        names.MESSAGING_DESTINATION_NAME: queue,
        names.MESSAGING_MESSAGE_ID: str(message_id),
    }
