"""Counts the faults that tests inject, and prints at the end what came of them; `make crash` loads it as a plugin.

A test counts by ``injected``, or else once by its mark ``fault(number)``; one that says ``injected(number, 0)`` met
none this time. When it fails, what it injected counts as
broken. What this machine cannot do is told by ``not_here``, and has a row of its own in the table. A run that is to
be told of together with the next one leaves its counts in a file, which the variable names.
"""

import json
import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from rich.console import Console
from rich.table import Table

NAMES = {
    1: "worker killed at a step point, or at any moment",
    2: "worker frozen, then thawed",
    3: "backend killed in a transaction",
    4: "database crash",
    5: "connection lost at COMMIT",
    6: "time-outs",
    7: "serialization failure, deadlock",
    8: "the same command many times",
    9: "several claimers of one batch",
    10: "clock off by a day",
    11: "disk full",
    12: "slow or dead follower, dead rebuild",
    13: "long open transaction",
    14: "poison event",
    15: "poison record",
    16: "huge or odd input",
    17: "hostile names and values",
    18: "an actor without the right, or of another tenant",
    19: "undo expired, or asked at once",
    20: "undo against a new action on the rows",
    21: "undo of a partly failed execution, or of an undo",
    22: "dump and restore into another cluster",
    23: "schema drift",
    24: "collector dead or silent",
    25: "memory",
}
PROPERTY = "faults"
SO_FAR = "ACTION_LEDGER_FAULTS_SO_FAR"

_counts: Counter[int] = Counter()
"""What the test at hand has counted; a fault that it looked for and did not meet is there with 0."""
_notes: list[str] = []
_missing: dict[int, str] = {}


def injected(fault: int, times: int = 1) -> None:
    """Count a fault of the test at hand."""
    _counts[fault] += times


def note(text: str) -> None:
    """Keep a line of figures, to be printed below the table."""
    _notes.append(text)


def not_here(fault: int, why: str) -> NoReturn:
    """Skip a test whose fault this machine cannot inject, and say so in the table."""
    _missing[fault] = why
    pytest.skip(why)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    _counts.clear()
    _notes.clear()
    _missing.clear()
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Put what was counted into the report of the test's end."""
    if call.when != "teardown":
        return
    for mark in item.iter_markers("fault"):
        for fault in mark.args:
            if fault not in _counts and not _missing:
                _counts[fault] = 1
    counted = [[fault, times] for fault, times in _counts.items() if times]
    item.user_properties.append((PROPERTY, [counted, list(_notes), list(_missing.items())]))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table, of this run and of those before it that belong to it."""
    if hasattr(config, "workerinput"):
        return  # a process of pytest-xdist: the one that it reports to tells of all
    told = _told(terminalreporter)
    if kept := os.environ.get(SO_FAR):
        file = Path(kept)
        if file.exists():
            told = [*json.loads(file.read_text(encoding="utf-8")), *told]
        file.write_text(json.dumps(told), encoding="utf-8")
    times: Counter[int] = Counter()
    broken: Counter[int] = Counter()
    missing: dict[int, str] = {}
    notes: list[str] = []
    for failed, (counted, noted, absent) in told:
        notes += noted
        missing |= {int(fault): why for fault, why in absent}
        for fault, count in counted:
            times[fault] += count
            broken[fault] += failed
    console = Console(width=100)
    with console.capture() as captured:
        console.print(_table(times, broken, missing))
    terminalreporter.write_line(captured.get())
    for line in notes:
        terminalreporter.write_line(line)


def _told(terminalreporter: Any) -> list[Any]:
    """Give what each test counted, and whether it failed."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    failed = {report.nodeid for report in reports if getattr(report, "failed", False) is True}
    told: dict[str, Any] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == PROPERTY and getattr(report, "when", "") == "teardown":
                told[report.nodeid] = (report.nodeid in failed, value)
    return [told[nodeid] for nodeid in sorted(told)]


def _table(times: Counter[int], broken: Counter[int], missing: dict[int, str]) -> Table:
    table = Table(title="Faults")
    for heading in ("#", "fault", "times injected", "invariants broken"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for fault, name in NAMES.items():
        if times[fault] or fault in missing:
            shown = f"{times[fault]:,}" if times[fault] else f"not possible here: {missing[fault]}"
            table.add_row(str(fault), name, shown, str(broken[fault]))
    table.add_section()
    table.add_row("", "all", f"{times.total():,}", str(broken.total()))
    return table
