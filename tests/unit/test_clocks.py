"""No decision goes by the clock of a process: the sources read the wall clock where times are shown, and nowhere else."""

import ast
from collections.abc import Iterator

from tests.unit.test_packaging import ROOMS, ROOT, sources

WALL = {
    *(("time", name) for name in ("time", "time_ns", "localtime", "gmtime", "ctime")),
    *(("datetime", name) for name in ("now", "utcnow", "today")),
    ("date", "today"),
}
SHOWN = {"ops/cli_terminal.py"}
"""What puts times on a terminal, and how long ago they were."""


def readings(source: str) -> Iterator[str]:
    """Give what reads the wall clock: calls through a module or a class, and names that are imported from `time`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if (name, node.attr) in WALL:
                yield f"{name}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{each.name}" for each in node.names if ("time", each.name) in WALL)


def test_the_wall_clock_is_read_to_show_times_only() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): each
        for path in sources(*ROOMS)
        for each in readings(path.read_text())
    }
    assert found.keys() == SHOWN, found


def test_what_reads_it_is_found() -> None:
    source = "import time, datetime\nfrom time import time_ns\ntime.time()\ndatetime.datetime.now()\ntime.monotonic()"
    assert sorted(readings(source)) == ["datetime.now", "time.time", "time.time_ns"]
