"""The ledger's metrics: nearly free without an OpenTelemetry SDK, and never a cause of failure.

Only the interface (``opentelemetry-api``) is used here; ``ops/telemetry.py`` sets up what is behind it. Callers
count what has happened: what a transaction did is counted by ``Transaction.after_commit``. Labels have few values,
so that the number of series stays small: never an id, a key or a value.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import metrics

from . import names
from .span import installed_version, safely

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.metrics import MeterProvider

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds for attempts: those that OpenTelemetry advises for ``messaging.process.duration``."""
LONG_SECONDS = (0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 900, 3600, 14_400, 86_400)
"""Bounds for executions, which may take days."""
RECORDS = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 50_000)
"""Bounds for sizes of batches."""


class Instruments:
    """The instruments of one provider, made once."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter(names.SCOPE, installed_version() or "", names.SCHEMA_URL)
        self._counters = {
            name: meter.create_counter(name, unit, description)
            for name, unit, description in (
                (names.RECORDS, "{record}", "Records that came to an end."),
                (names.RETRIES, "{retry}", "Units put off or split after a fault."),
                (names.SPLITS, "{split}", "Batches that were split."),
                (names.LEASE_EXPIRED, "{lease}", "Leases that ran out."),
                (names.FENCED_WRITES, "{write}", "Writes under a lease that was lost."),
            )
        }
        self._histograms = {
            name: meter.create_histogram(
                name, unit, description, explicit_bucket_boundaries_advisory=bounds
            )
            for name, unit, description, bounds in (
                (names.PROCESS_DURATION, "s", "Duration of an attempt.", SECONDS),
                (names.BATCH_SIZE, "{record}", "Records of a batch.", RECORDS),
                (names.EXECUTION_DURATION, "s", "From request to end.", LONG_SECONDS),
            )
        }

    def count(self, name: str, number: int, labels: Mapping[str, str]) -> None:
        """Add to a counter."""
        self._counters[name].add(number, labels)

    def measure(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        """Add a value to a histogram."""
        self._histograms[name].record(value, labels)


def attempted(
    operation: str, action: str, *, queue: str, seconds: float, error_type: str | None = None
) -> None:
    """Measure an attempt; ``error_type`` says why it failed for good, and is None if it is tried again."""
    labels = {
        names.MESSAGING_SYSTEM: names.SCOPE,
        names.MESSAGING_OPERATION_NAME: operation,
        names.MESSAGING_DESTINATION_NAME: queue,
        names.ACTION: action,
    }
    if error_type is not None:
        labels[names.ERROR_TYPE] = error_type
    _measure(names.PROCESS_DURATION, seconds, labels)


def ended(action: str, *, kind: str, outcomes: Mapping[str, int], done: bool) -> None:
    """Count the records of a batch or compensation by outcome; its size too where it was ``done`` at all."""
    labels = {names.ACTION: action, names.UNIT_KIND: kind}
    for outcome, records in outcomes.items():
        if records:
            _count(names.RECORDS, records, {**labels, names.OUTCOME: outcome})
    if done:
        _measure(names.BATCH_SIZE, sum(outcomes.values()), labels)


def retried(error_type: str) -> None:
    """Count a unit that is tried again, as it is or in parts, after a fault."""
    _count(names.RETRIES, 1, {names.ERROR_TYPE: error_type})


def split(reason: str) -> None:
    """Count a batch that was split."""
    _count(names.SPLITS, 1, {names.SPLIT_REASON: reason})


def lease_expired() -> None:
    """Count a lease that had run out."""
    _count(names.LEASE_EXPIRED, 1, {})


def writes_fenced(writes: int) -> None:
    """Count what was not written because the lease was lost."""
    _count(names.FENCED_WRITES, writes, {})


def executed(action: str, *, status: str, seconds: float) -> None:
    """Measure an execution from its request to its end."""
    _measure(names.EXECUTION_DURATION, seconds, {names.ACTION: action, names.STATUS: status})


def _count(name: str, number: int, labels: Mapping[str, str]) -> None:
    safely(lambda: _instruments_of(metrics.get_meter_provider()).count(name, number, labels))


def _measure(name: str, value: float, labels: Mapping[str, str]) -> None:
    safely(lambda: _instruments_of(metrics.get_meter_provider()).measure(name, value, labels))


@lru_cache(maxsize=1)
def _instruments_of(provider: MeterProvider) -> Instruments:
    return Instruments(provider)
