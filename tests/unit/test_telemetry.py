"""Which variables switch telemetry on, and which leave it off."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from action_ledger.ops import telemetry
from action_ledger.ops.telemetry import requested_exporters

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
EXPORTER = "OTEL_TRACES_EXPORTER"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
DISABLED = "OTEL_SDK_DISABLED"
HERE = "http://localhost:4317"
GRPC = "otlp_proto_grpc"
HTTP = "otlp_proto_http"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "shop"}, []),
        ({ENDPOINT: ""}, []),
        ({ENDPOINT: HERE}, [GRPC]),
        ({TRACES_ENDPOINT: HERE}, [GRPC]),
        ({EXPORTER: "otlp"}, [GRPC]),
        ({EXPORTER: "console"}, ["console"]),
        ({EXPORTER: " Console , OTLP ", PROTOCOL: "http/protobuf"}, ["console", HTTP]),
        ({EXPORTER: "otlp,otlp"}, [GRPC]),
        ({EXPORTER: "none", ENDPOINT: HERE}, []),
        ({EXPORTER: "", ENDPOINT: HERE}, [GRPC]),
        ({EXPORTER: "none", TRACES_ENDPOINT: HERE}, []),
        ({ENDPOINT: HERE, PROTOCOL: "grpc"}, [GRPC]),
        ({ENDPOINT: HERE, PROTOCOL: "http/protobuf"}, [HTTP]),
        ({ENDPOINT: HERE, PROTOCOL: "http/protobuf", TRACES_PROTOCOL: "grpc"}, [GRPC]),
        ({ENDPOINT: HERE, PROTOCOL: "http/json"}, ["otlp over http/json"]),
        ({ENDPOINT: HERE, DISABLED: "true"}, []),
        ({EXPORTER: "console", DISABLED: "TRUE"}, []),
        ({ENDPOINT: HERE, DISABLED: "false"}, [GRPC]),
        ({ENDPOINT: HERE, DISABLED: "1"}, [GRPC]),  # the standard: "true" and nothing else
    ],
)
def test_the_environment_decides(environment: dict[str, str], expected: list[str]) -> None:
    assert requested_exporters(environment) == expected


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own: a provider is set only once in each."""
    lines = f"from action_ledger.ops.telemetry import configure\n{code}"
    return subprocess.run(
        [sys.executable, "-c", lines],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env=environment,
    )


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({EXPORTER: "zipkin-of-old"}, "no exporter named 'zipkin-of-old'"),
        ({ENDPOINT: HERE, PROTOCOL: "http/json"}, "no exporter named 'otlp over http/json'"),
        ({ENDPOINT: HERE, "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "could not start"),
        ({EXPORTER: "console", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "could not be set up"),
        ({EXPORTER: "console", "OTEL_PYTHON_TRACER_PROVIDER": "absent"}, "could not be set up"),
    ],
    ids=["exporter", "protocol", "compression", "queue", "provider"],
)
def test_wrong_settings_are_said_and_harmless(environment: dict[str, str], complaint: str) -> None:
    ran = run("assert not configure().active; assert configure().shutdown()", **environment)
    assert complaint in ran.stderr


def test_one_wrong_exporter_leaves_the_others() -> None:
    ran = run("assert configure().active", **{EXPORTER: "absent,console"})
    assert "no exporter named 'absent'" in ran.stderr


def test_a_second_call_changes_nothing() -> None:
    run(
        "first = configure('1')\n"
        "assert configure('2') is first and first.active\n"
        "assert first.shutdown() and first.shutdown()\n"
        "assert configure() is first and not first.active",
        **{EXPORTER: "console"},
    )


def test_the_hosts_provider_is_left_alone() -> None:
    run(
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(own := TracerProvider())\n"
        "assert not configure().active\n"
        "assert trace.get_tracer_provider() is own",
        **{EXPORTER: "console"},
    )


def test_spans_go_to_the_console() -> None:
    ran = run(
        "from action_ledger.projections import tracing\n"
        "configure('1.2')\n"
        "with tracing.statement('COMMIT'): pass",
        **{EXPORTER: "console"},
    )
    assert '"name": "COMMIT"' in ran.stdout
    assert '"service.name": "action-ledger"' in ran.stdout
    assert '"service.version": "1.2"' in ran.stdout
    assert ran.stderr == ""


def test_only_one_file_knows_the_sdk() -> None:
    # import-linter cannot say this: to it, opentelemetry is one package with its interface.
    rooms = Path(telemetry.__file__).resolve().parent.parent
    knows = re.compile(r"^\s*(from|import) opentelemetry\.(sdk|exporter)\b", re.MULTILINE)
    assert [
        f"{room}/{file.name}"
        for room in ("domain", "projections", "workers", "ops")
        for file in (rooms / room).glob("*.py")
        if knows.search(file.read_text())
    ] == ["ops/telemetry.py"]
