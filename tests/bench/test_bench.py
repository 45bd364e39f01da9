"""The bench itself: each row yields a figure, whatever the figure is."""

import io
import json

import pytest
from rich.console import Console

from tests.bench import report
from tests.bench.result import Bound, Result
from tests.bench.run import PARTS, measure

NAMES = [
    "streaming_two_workers",
    "gated_two_workers",
    "gated_one_worker",
    "audit_trigger_speed",
    "audit_trigger_bytes",
    "predecessor",
    "undo",
    "single_record",
    "rebuild_select_and_map",
    "rebuild_runner",
    "memory",
    "growth",
]


@pytest.mark.slow
def test_every_row_yields_a_figure() -> None:
    machine, results = measure(2_000, 1, list(PARTS))
    assert [result.name for result in results] == NAMES
    assert all(result.figure > 0 for result in results if result.name != "memory")
    said = json.loads(report.as_json(machine, 2_000, 1, results))
    assert [row["name"] for row in said["results"]] == NAMES
    console = Console(file=io.StringIO(), width=200, record=True)
    report.show(console, machine, 2_000, 1, results)
    text = console.export_text()
    assert all(result.what in text for result in results)


@pytest.mark.parametrize(
    ("bound", "samples", "met"),
    [
        ("at least", (0.7, 0.9, 0.8), True),
        ("at least", (0.7, 0.9, 0.79), False),
        ("at most", (0.9, 0.8, 0.7), True),
        ("at most", (0.9, 0.81, 0.7), False),
    ],
)
def test_a_budget_is_judged_by_the_median(
    bound: Bound, samples: tuple[float, ...], *, met: bool
) -> None:
    result = Result("name", "what", bound, 0.8, samples, "of it", "")
    assert result.met is met
