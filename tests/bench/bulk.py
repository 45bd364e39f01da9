"""Rows 1 to 6: the same rows changed by the ledger and by its rivals, in turns."""

from dataclasses import dataclass, field
from statistics import median

from .result import Result, rate, ratios
from .rivals import audited, bare, predecessor
from .site import SCHEMA, Site


@dataclass
class Samples:
    """What each round measured: seconds for all rows, unless said otherwise."""

    bare: list[float] = field(default_factory=list[float])
    streaming_two: list[float] = field(default_factory=list[float])
    gated_two: list[float] = field(default_factory=list[float])
    gated_one: list[float] = field(default_factory=list[float])
    undo_two: list[float] = field(default_factory=list[float])
    trigger: list[float] = field(default_factory=list[float])
    trigger_bytes: list[float] = field(default_factory=list[float])
    ledger_bytes: list[float] = field(default_factory=list[float])
    predecessor: list[float] = field(default_factory=list[float])
    """Seconds a record."""


def measure_bulk(site: Site, rounds: int) -> list[Result]:
    """Take so many rounds, and compare within each."""
    samples = Samples()
    for _ in range(rounds):
        _round(site, samples)
    return _results(site.rows, samples)


def _round(site: Site, samples: Samples) -> None:
    site.reset()
    before = bare(site)

    site.reset()
    size = site.number("ledger_bytes", schema=SCHEMA)
    _, seconds = site.run_all(site.request().streaming(), workers=2)
    samples.streaming_two.append(seconds)
    samples.ledger_bytes.append(site.number("ledger_bytes", schema=SCHEMA) - size)

    site.reset()
    execution, seconds = site.run_all(site.request(), workers=2)
    samples.gated_two.append(seconds)
    site.settle()
    samples.undo_two.append(site.undo_all(execution, workers=2))

    site.reset()
    # Twice a round, and the mean of both: the figure that all others depend on.
    samples.bare.append((before + bare(site)) / 2)

    site.reset()
    samples.gated_one.append(site.run_all(site.request(), workers=1)[1])

    site.reset()
    trigger = audited(site)
    samples.trigger.append(trigger.seconds)
    samples.trigger_bytes.append(trigger.size)

    site.reset()
    samples.predecessor.append(predecessor(site))


def _results(rows: int, samples: Samples) -> list[Result]:
    bare_rate = f"bare {rate(rows, samples.bare)}"

    def of_bare(name: str, what: str, budget: float, seconds: list[float]) -> Result:
        speeds = ratios(samples.bare, seconds)
        return Result(
            name, what, "at least", budget, speeds, "of bare", f"{rate(rows, seconds)}, {bare_rate}"
        )

    per_record = [seconds / rows for seconds in samples.streaming_two]
    sizes = (median(samples.ledger_bytes) / rows, median(samples.trigger_bytes) / rows)
    return [
        of_bare(
            "streaming_two_workers", "update, two workers, streaming", 0.8, samples.streaming_two
        ),
        of_bare("gated_two_workers", "update, two workers, gated", 0.6, samples.gated_two),
        of_bare("gated_one_worker", "update, one worker, gated", 0.5, samples.gated_one),
        Result(
            "audit_trigger_speed",
            "against an audit trigger, two workers",
            "at least",
            3,
            ratios(samples.trigger, samples.streaming_two),
            "times its speed",
            f"trigger {rate(rows, samples.trigger)}",
        ),
        Result(
            "audit_trigger_bytes",
            "against an audit trigger, on disk",
            "at most",
            0.15,
            ratios(samples.ledger_bytes, samples.trigger_bytes),
            "of its bytes",
            f"{sizes[0]:.1f} and {sizes[1]:.1f} bytes a record",
        ),
        Result(
            "predecessor",
            "against the predecessor's algorithm, two workers",
            "at least",
            80,
            ratios(samples.predecessor, per_record),
            "times its speed",
            f"predecessor {rate(1, samples.predecessor)}",
        ),
        Result(
            "undo",
            "undo, against the same forward, two workers",
            "at least",
            0.8,
            ratios(samples.gated_two, samples.undo_two),
            "of forward",
            f"undo {rate(rows, samples.undo_two)}, forward {rate(rows, samples.gated_two)}",
        ),
    ]
