"""The ledger's spans: what they are called, where they belong and what they carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from action_ledger.projections import names, tracing
from tests.spans import (
    ALL,
    CORRELATION,
    EXECUTION,
    IN_THE_CALLERS_TRACE,
    ORIGIN,
    UNDO,
    Spans,
    attributes,
    collect,
    links,
    only,
    plan,
    process,
    project,
    send,
    undo,
)


@pytest.fixture(name="spans")
def recorded(monkeypatch: pytest.MonkeyPatch) -> Spans:
    return collect(monkeypatch)


# ---- what each span is


def test_send_is_the_producer(spans: Spans) -> None:
    with send():
        pass
    span = only(spans)
    assert (span.name, span.kind) == ("send update", SpanKind.PRODUCER)
    assert attributes(span) == {
        "messaging.system": "action_ledger",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": str(EXECUTION),
        "messaging.message.conversation_id": str(CORRELATION),
    }
    assert span.status.status_code is StatusCode.UNSET


def test_plan_says_what_came_of_it(spans: Spans) -> None:
    with plan() as current:
        tracing.planned(current, keys=1234, batches=3)
    span = only(spans)
    assert (span.name, span.kind) == ("plan update", SpanKind.CONSUMER)
    assert attributes(span) == {
        "messaging.system": "action_ledger",
        "messaging.operation.name": "plan",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": str(EXECUTION),
        "action_ledger.plan.keys": 1234,
        "action_ledger.plan.batches": 3,
    }


def test_process_is_one_attempt_at_one_batch(spans: Spans) -> None:
    with process():
        pass
    span = only(spans)
    assert (span.name, span.kind) == ("process update", SpanKind.CONSUMER)
    assert attributes(span) == {
        "messaging.system": "action_ledger",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": str(EXECUTION),
        "messaging.batch.message_count": 500,
        "action_ledger.batch.number": 3,
        "action_ledger.attempt": 2,
        "code.function.name": "action_ledger.workers.update.apply",
    }


def test_undo_names_what_it_takes_back(spans: Spans) -> None:
    with undo():
        pass
    span = only(spans)
    assert (span.name, span.kind) == ("undo update", SpanKind.PRODUCER)
    assert links(span) == [ORIGIN[3:-3]]
    assert attributes(span) == {
        "messaging.system": "action_ledger",
        "messaging.operation.name": "undo",
        "messaging.operation.type": "send",
        "messaging.destination.name": "default",
        "messaging.message.id": str(UNDO),
        "action_ledger.undo.of": str(EXECUTION),
        "action_ledger.undo.policy": "skip",
    }


def test_project_links_each_origin_once(spans: Spans) -> None:
    with project():
        pass
    span = only(spans)
    assert (span.name, span.kind) == ("project audit", SpanKind.CONSUMER)
    assert links(span) == [ORIGIN[3:-3]]
    assert attributes(span) == {
        "action_ledger.position.from": 11,
        "action_ledger.position.to": 20,
    }


def test_project_has_at_most_128_links(spans: Spans) -> None:
    origins = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 1001)]
    with tracing.project("audit", first=1, last=1000, traceparents=origins):
        pass
    assert links(only(spans)) == [origin[3:-3] for origin in origins[:128]]
    assert only(spans).dropped_links == 0


def test_statement_names_table_and_server(spans: Spans) -> None:
    server = tracing.Server("shop|action_ledger", "db.example", 5433)
    with tracing.statement("UPDATE", table="public.places", server=server):
        pass
    span = only(spans)
    assert (span.name, span.kind) == ("UPDATE public.places", SpanKind.CLIENT)
    assert attributes(span) == {
        "db.system.name": "postgresql",
        "db.operation.name": "UPDATE",
        "db.collection.name": "public.places",
        "db.namespace": "shop|action_ledger",
        "server.address": "db.example",
        "server.port": 5433,
    }


@pytest.mark.parametrize(("batch_size", "expected"), [(None, None), (1, None), (0, 0), (7, 7)])
def test_one_statement_is_no_batch(
    spans: Spans, batch_size: int | None, expected: int | None
) -> None:
    with tracing.statement("INSERT", table="events", batch_size=batch_size):
        pass
    span = only(spans)
    assert span.name == "INSERT events"
    assert attributes(span).get("db.operation.batch.size") == expected


def test_a_statement_without_a_table_is_its_command(spans: Spans) -> None:
    with tracing.statement("COMMIT"):
        pass
    assert only(spans).name == "COMMIT"
    assert "db.collection.name" not in attributes(only(spans))


# ---- where a span belongs


@pytest.mark.parametrize("name", ALL)
def test_queued_work_starts_its_own_trace(spans: Spans, name: str) -> None:
    with send() as outer, ALL[name]() as inner:
        assert trace.get_current_span() is inner
    span = next(
        found for found in spans.get_finished_spans() if found.context == inner.get_span_context()
    )
    assert span.name == name
    if name in IN_THE_CALLERS_TRACE:
        assert span.parent == outer.get_span_context()
    else:
        assert span.parent is None
        assert span.context is not None
        assert span.context.trace_id != outer.get_span_context().trace_id


def test_a_statement_belongs_to_its_batch(spans: Spans) -> None:
    with process() as batch, tracing.statement("UPDATE", table="places"):
        pass
    statement, _ = spans.get_finished_spans()
    assert statement.parent == batch.get_span_context()


def test_a_stored_traceparent_links_back(spans: Spans) -> None:
    with send() as origin:
        stored = tracing.current_traceparent()
    with plan(stored), process(stored):
        pass
    expected = origin.get_span_context()
    for span in spans.get_finished_spans()[1:]:
        assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
            (expected.trace_id, expected.span_id)
        ]
    assert stored is not None
    assert stored.startswith(f"00-{expected.trace_id:032x}-{expected.span_id:016x}-")


@pytest.mark.parametrize(
    "stored",
    [None, "", "nonsense", "00-" + "0" * 32 + "-b7ad6b7169203331-01", ORIGIN + "-x", "x" * 5000],
    ids=["none", "empty", "text", "zero", "longer", "huge"],
)
def test_old_events_have_no_link_and_no_error(spans: Spans, stored: str | None) -> None:
    assert tracing.link_from(stored) is None
    with process(stored):
        pass
    assert links(only(spans)) == []


def test_stored_metadata_may_hold_anything() -> None:
    stored: Any = {"not": "text"}
    assert tracing.link_from(stored) is None


def test_there_is_no_traceparent_outside_a_span() -> None:
    assert tracing.current_traceparent() is None


def test_the_context_is_given_back(spans: Spans) -> None:
    for scope in ALL.values():
        with scope():
            assert tracing.current_traceparent() is not None
        assert tracing.current_traceparent() is None
    assert len(spans.get_finished_spans()) == len(ALL)


# ---- the scope and the names


def test_the_scope_names_ledger_and_conventions(spans: Spans) -> None:
    with send():
        pass
    scope = only(spans).instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.schema_url) == (names.SCOPE, names.SCHEMA_URL)


def test_each_name_is_documented_and_used() -> None:
    constants = {key: value for key, value in vars(names).items() if key.isupper()}
    assert len(set(constants.values())) == len(constants)
    file = Path(names.__file__).resolve()
    assert file.read_text().count('"""') == 2 * len(constants) + 2
    rooms = file.parent.parent
    code = "".join(
        source.read_text()
        for room in ("projections", "workers", "ops")
        for source in (rooms / room).glob("*.py")
    )
    assert [key for key in constants if f"names.{key}" not in code] == []
