"""What leaves the process: the wire format at a real receiver, and exporters that lead nowhere."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.otlp import Receiver, receiver

if TYPE_CHECKING:
    from collections.abc import Generator

SECRET = "4111-1111-1111-1111"  # noqa: S105 - planted, to be looked for
EXECUTION = "018f0000-0000-7000-8000-000000000001"

PRELUDE = f"""
import sys
from uuid import UUID
from action_ledger.ops.telemetry import configure
from action_ledger.projections import tracing

class Duplicate(Exception):
    sqlstate = "23505"

EXECUTION, SECRET = UUID("{EXECUTION}"), "{SECRET}"
telemetry = configure("1.2.3")
"""

COMMAND = """
with tracing.send("update", queue="default", execution_id=EXECUTION, correlation_id=EXECUTION):
    print(tracing.current_traceparent())
"""

WORKER = """
traceparent = sys.argv[1]
server = tracing.Server("shop|action_ledger", "db.example", 5432)

def batch(number, attempt):
    return tracing.process(
        "update", queue="default", execution_id=EXECUTION, traceparent=traceparent,
        records=500, number=number, attempt=attempt, function="action_ledger.workers.update.apply",
    )

with tracing.plan(
    "update", queue="default", execution_id=EXECUTION, traceparent=traceparent
) as span:
    tracing.planned(span, keys=1000, batches=2)
with batch(1, 1):
    with tracing.statement("UPDATE", table="public.places", server=server):
        pass
    with tracing.statement("INSERT", table="events", batch_size=3, server=server):
        pass
    with tracing.statement("COMMIT", server=server):
        pass
try:
    with batch(2, 1), tracing.statement("UPDATE", table="public.places", server=server):
        raise Duplicate(SECRET)
except Duplicate:
    pass
"""


@pytest.fixture(name="collector")
def running_receiver() -> Generator[Receiver]:
    with receiver() as collector:
        yield collector


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, as a worker on another machine would."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )


def attributes(span: Span) -> dict[str, str | int]:
    return {
        pair.key: pair.value.int_value
        if pair.value.HasField("int_value")
        else pair.value.string_value
        for pair in span.attributes
    }


def test_one_execution_across_two_processes(collector: Receiver) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "shop"}
    traceparent = run(COMMAND, **asked).stdout.strip()
    ran = run(WORKER, traceparent, **asked)
    assert ran.stderr == ""

    spans = collector.wait_for(8)
    assert sorted(span.name for span in spans) == [
        "COMMIT",
        "INSERT events",
        "UPDATE public.places",
        "UPDATE public.places",
        "plan update",
        "process update",
        "process update",
        "send update",
    ]
    (send,) = (span for span in spans if span.name == "send update")
    assert send.kind == Span.SPAN_KIND_PRODUCER
    assert traceparent[:52] == f"00-{send.trace_id.hex()}-{send.span_id.hex()}"

    work = [span for span in spans if span.kind == Span.SPAN_KIND_CONSUMER]
    assert len(work) == 3
    assert len({span.trace_id for span in [*work, send]}) == 4
    for span in work:
        assert span.parent_span_id == b""
        assert [(link.trace_id, link.span_id) for link in span.links] == [
            (send.trace_id, send.span_id)
        ]
        assert attributes(span)["messaging.message.id"] == EXECUTION

    good, bad = sorted(
        (span for span in work if span.name == "process update"),
        key=lambda span: attributes(span)["action_ledger.batch.number"],
    )
    inside_good = [span for span in spans if span.parent_span_id == good.span_id]
    assert [span.name for span in inside_good] == [
        "UPDATE public.places",
        "INSERT events",
        "COMMIT",
    ]
    assert {span.kind for span in inside_good} == {Span.SPAN_KIND_CLIENT}
    assert good.status.code == Status.STATUS_CODE_UNSET

    (failed,) = (span for span in spans if span.parent_span_id == bad.span_id)
    for span in (bad, failed):
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert span.status.message == ""
        assert attributes(span)["error.type"] == "23505"
        assert not span.events
    assert SECRET.encode() not in collector.wire


def test_the_resource_and_scope_name_the_ledger(collector: Receiver) -> None:
    run(
        COMMAND,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=collector.endpoint,
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test,service.version=9",
    )
    collector.wait_for(1)
    (sent,) = collector.requests
    (resource,) = sent.resource_spans
    described = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert described["service.name"] == "action-ledger"
    assert described["service.version"] == "9"
    assert described["deployment.environment.name"] == "test"
    (scope,) = resource.scope_spans
    assert scope.scope.name == "action_ledger"


@pytest.mark.parametrize(
    "off",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
    ],
    ids=["disabled", "none"],
)
def test_switched_off_sends_nothing(collector: Receiver, off: dict[str, str]) -> None:
    ran = run(
        COMMAND + "assert not telemetry.active\nassert 'opentelemetry.sdk' not in sys.modules",
        **off,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
    )
    assert ran.stdout == "None\n"
    assert collector.spans == []
    assert collector.metrics.requests == []


def test_the_sampler_is_the_standard_one(collector: Receiver) -> None:
    ran = run(
        COMMAND,
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
        OTEL_TRACES_SAMPLER="always_off",
    )
    assert ran.stdout.startswith("00-")  # still stored, so that others can link
    assert collector.spans == []


FORKED = """
import os
with tracing.statement("PARENT"):
    pass
if (child := os.fork()) == 0:
    with tracing.statement("CHILD"):
        pass
    os._exit(0 if telemetry.shutdown() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert telemetry.shutdown()
"""


def test_a_forked_child_sends_its_own_spans_once(collector: Receiver) -> None:
    run(FORKED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint)
    assert sorted(span.name for span in collector.wait_for(2)) == ["CHILD", "PARENT"]


TIMED = """
import time
started = time.monotonic()
for _ in range(5000):
    with tracing.statement("COMMIT"):
        pass
worked = time.monotonic() - started
started = time.monotonic()
ended = telemetry.shutdown()
print(ended, worked, time.monotonic() - started)
"""


@pytest.mark.fault(24)
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("answers", ["never", "refused"])
def test_a_dead_collector_holds_nobody_up(protocol: str, answers: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answers == "never":
            silent.listen()  # connections open, and nothing is ever read or said
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        ran = run(
            TIMED,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        )
        whole = time.monotonic() - started
    ended, worked, ending = ran.stdout.split()
    assert float(worked) < 2
    assert float(ending) < 3
    assert whole < 8, "the interpreter hung at its exit"
    if ended == "False":
        assert "Telemetry gave up" in ran.stderr


def test_nobody_calls_shutdown() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        run(
            COMMAND,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
        )
        assert time.monotonic() - started < 6


COUNTED = """
from action_ledger.projections import metrics
metrics.retried("40001")
metrics.lease_expired()
metrics.writes_fenced(3)
"""


def test_metrics_are_sent_at_the_end(collector: Receiver) -> None:
    ran = run(COUNTED, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=collector.endpoint)
    assert ran.stderr == ""
    assert collector.spans == []
    assert {
        name: [point.as_int for point in metric.sum.data_points]
        for name, metric in collector.metrics.newest.items()
    } == {
        "action_ledger.retries": [1],
        "action_ledger.lease.expired": [1],
        "action_ledger.fenced.writes": [3],
    }


def test_the_hosts_meter_provider_is_left_alone(collector: Receiver) -> None:
    own = """
from opentelemetry import metrics as api
from opentelemetry.sdk.metrics import MeterProvider
api.set_meter_provider(own := MeterProvider(shutdown_on_exit=False))
assert not configure().active
assert api.get_meter_provider() is own
"""
    asked = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": collector.endpoint}
    lines = f"from action_ledger.ops.telemetry import configure\n{own}\n{COUNTED}"
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=60, env=asked)
    assert collector.metrics.requests == []


def test_an_interval_that_is_no_number_stops_nothing(collector: Receiver) -> None:
    ran = run(
        COUNTED + "assert not telemetry.active",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=collector.endpoint,
        OTEL_METRIC_EXPORT_INTERVAL="-5",
    )
    assert "could not be set up" in ran.stderr
