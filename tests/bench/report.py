"""What the bench says: a table for people, JSON for programs."""

import json
import os
import platform
from dataclasses import asdict, dataclass

import psycopg
from rich.console import Console
from rich.table import Table

from action_ledger.ops.embedded_server import Server

from .result import Result
from .site import SETTINGS


@dataclass(frozen=True, slots=True)
class Machine:
    """What it was measured on."""

    cores: int
    load: float
    system: str
    python: str
    postgresql: str
    settings: dict[str, str]


def machine(server: Server) -> Machine:
    """Look at the machine; the load is that of the last minute, the bench's own included."""
    with psycopg.connect(server.url()) as connection:
        version = connection.info.parameter_status("server_version")
    return Machine(
        cores=os.cpu_count() or 0,
        load=round(os.getloadavg()[0], 2),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        postgresql=str(version),
        settings=SETTINGS | {"fsync": "on", "synchronous_commit": "on"},
    )


def show(console: Console, found: Machine, rows: int, rounds: int, results: list[Result]) -> None:
    """Print the table."""
    table = Table(
        title=f"{rows:,} records, medians of {rounds} rounds",
        caption=f"{found.cores} cores ({found.system}), load {found.load}, "
        f"PostgreSQL {found.postgresql}, Python {found.python}",
    )
    for heading in ("what", "budget", "figure", "met", "rounds", "measured"):
        table.add_column(heading, justify="right" if heading in {"figure", "rounds"} else "left")
    for result in results:
        table.add_row(
            result.what,
            f"{result.bound} {result.budget:g} {result.unit}",
            f"{result.figure:.3g}",
            "[green]yes[/green]" if result.met else "[red]no[/red]",
            f"{min(result.samples):.3g} to {max(result.samples):.3g}",
            result.detail,
        )
    console.print(table)


def as_json(found: Machine, rows: int, rounds: int, results: list[Result]) -> str:
    """Give everything that was measured."""
    return json.dumps(
        {
            "machine": asdict(found),
            "rows": rows,
            "rounds": rounds,
            "results": [
                asdict(result) | {"figure": result.figure, "met": result.met} for result in results
            ],
        },
        indent=2,
    )
