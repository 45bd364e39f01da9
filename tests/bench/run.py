"""The bench: measures what the design promises, and prints each figure beside its budget.

    python -m tests.bench.run [--rows N] [--rounds N] [--only NAME ...] [--json]

Everything is measured in turns in one run, and only ratios count: the machine is never said to be idle.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from action_ledger.ops.embedded_server import Server

from . import report, site
from .bulk import measure_bulk
from .events import measure_growth, measure_rebuild
from .memory import measure_memory
from .result import Result
from .single import measure_single
from .site import Site

PARTS: dict[str, Callable[[Server, int, int], list[Result]]] = {
    "bulk": lambda server, rows, rounds: in_a_site(server, rows, rounds, measure_bulk),
    "single": lambda server, rows, rounds: in_a_site(server, rows, rounds, measure_single),
    "rebuild": measure_rebuild,
    "memory": lambda server, rows, _: [measure_memory(server, rows)],
    "growth": lambda server, rows, rounds: [measure_growth(server, rows, rounds)],
}


def in_a_site(
    server: Server, rows: int, rounds: int, part: Callable[[Site, int], list[Result]]
) -> list[Result]:
    """Measure in a database of its own."""
    with site.site(server, part.__name__, rows) as place:
        return part(place, rounds)


def measure(rows: int, rounds: int, parts: Sequence[str]) -> tuple[report.Machine, list[Result]]:
    """Measure the parts on a server of their own."""
    with site.server() as server:
        results = [result for part in parts for result in PARTS[part](server, rows, rounds)]
        return report.machine(server), results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(prog="tests.bench", description="Measure side by side.")
    parser.add_argument("--rows", type=int, default=int(os.environ.get("ROWS") or 300_000))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 5))
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args(arguments)
    found, results = measure(chosen.rows, chosen.rounds, chosen.only)
    if chosen.json:
        sys.stdout.write(report.as_json(found, chosen.rows, chosen.rounds, results) + "\n")
    else:
        report.show(Console(), found, chosen.rows, chosen.rounds, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
