"""The traces of one execution of three batches and its undo, across processes, at a real OTLP receiver."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.otlp import receiver

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span
    from psycopg import Connection
    from psycopg.rows import DictRow

SECRET = "4111-1111-1111-1111"  # noqa: S105 - planted, to be looked for

PRELUDE = """
import sys
from action_ledger.domain import col
from action_ledger.ops import open_ledger
from action_ledger.ops.telemetry import configure

telemetry = configure()
ledger = open_ledger(sys.argv[1])
"""
SUBMIT = f"""
execution = (
    ledger.on("cards").where(col("number") != "{SECRET}").update(number="{SECRET}-new")
    .by("user:42", reason="{SECRET}").batch_size(2).submit()
)
print(execution.id)
"""
WORK = """
ledger.worker().finish(ledger.executions()[0].id)
"""
UNDO = """
undo = ledger.execution(ledger.executions()[0].id).undo(by="user:1").run()
assert undo.status == "completed", undo.status
"""
END = """
ledger.close()
assert telemetry.shutdown(10)
"""


def run(script: str, url: str, endpoint: str) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OTEL_")},
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_SERVICE_NAME": "shop",
    }
    subprocess.run(
        [sys.executable, "-c", PRELUDE + script + END, url], check=True, env=environment, timeout=60
    )


def linked(span: Span) -> set[bytes]:
    return {link.span_id for link in span.links}


@pytest.mark.slow
def test_spans_of_an_execution_and_its_undo(
    database_url: str, connection: Connection[DictRow]
) -> None:
    connection.execute("CREATE TABLE cards (id int PRIMARY KEY, number text NOT NULL)")
    connection.execute("INSERT INTO cards SELECT i, 'card ' || i FROM generate_series(1, 6) i")
    with receiver() as collector:
        for script in (SUBMIT, WORK, UNDO):
            run(script, database_url, collector.endpoint)
        spans = collector.wait_for(35)
        wire = collector.wire

    own = [span for span in spans if span.kind != span.SPAN_KIND_CLIENT]
    assert Counter(span.name for span in own) == {
        "send update": 1,
        "plan update": 1,
        "process update": 6,
        "undo update": 1,
    }
    (send,) = [span for span in own if span.name == "send update"]
    (undo,) = [span for span in own if span.name == "undo update"]
    (plan,) = [span for span in own if span.name == "plan update"]
    process = [span for span in own if span.name == "process update"]
    assert linked(plan) == {send.span_id}
    assert linked(undo) == {send.span_id}
    assert Counter(frozenset(linked(span)) for span in process) == {
        frozenset({send.span_id}): 3,
        frozenset({undo.span_id}): 3,
    }
    # Each piece of work from the queue is the root of a trace of its own.
    roots = [plan, *process]
    assert all(span.parent_span_id == b"" for span in roots)
    assert len({span.trace_id for span in roots}) == len(roots)
    assert not any(span.status.code == span.status.STATUS_CODE_ERROR for span in spans)
    statements = [span for span in spans if span.kind == span.SPAN_KIND_CLIENT]
    assert Counter(span.name for span in statements) == {
        "UPDATE cards": 6,
        "INSERT events": 11,  # one for each of the nine transactions, and the ends of the two jobs
        "COMMIT": 9,
    }
    # Each transaction that records has its COMMIT inside the span of what it was for, as its last statement.
    names = {span.span_id: span.name for span in own}
    inside = [span.parent_span_id for span in statements if span.name == "COMMIT"]
    assert sorted(inside) == sorted(names)
    for parent in names:
        last = max(
            (span for span in statements if span.parent_span_id == parent),
            key=lambda span: span.start_time_unix_nano,
        )
        assert last.name == "COMMIT"
    assert SECRET.encode() not in wire
