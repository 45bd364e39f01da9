"""Shows the status of the projections, rebuilds them and verifies them, with a bar."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import asdict

from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from action_ledger.projections.rebuild import Rebuilt, Verified

from .cli_exit_codes import ExitCode
from .cli_terminal import BAD, GOOD, WARN, Terminal, duration
from .ledger import Ledger

Watch = Callable[[str, int, int], None]


def show_status(ledger: Ledger, terminal: Terminal) -> None:
    """Show where each view stands."""
    found = ledger.projections.status()
    if terminal.as_json:
        terminal.give([asdict(one) for one in found])
        return
    rows = (
        (
            one.name,
            "inline" if one.inline else "follows",
            one.generation,
            one.position,
            one.head,
            Text(f"{one.lag:,}", WARN if one.lag else GOOD),
            Text(f"{one.parked:,}", BAD if one.parked else GOOD),
        )
        for one in found
    )
    headers = ("NAME", "RUNS", "GENERATION", "POSITION", "HEAD", "BEHIND", "PARKED")
    terminal.table(headers, rows, right=headers[2:])


def run_rebuild(ledger: Ledger, terminal: Terminal, names: Iterable[str]) -> None:
    """Rebuild views."""
    with watched(terminal, "rebuild") as watch:
        found = ledger.projections.rebuild(names, watch=watch)
    if terminal.as_json:
        terminal.give([asdict(one) for one in found])
    else:
        rebuilt_table(terminal, found)


def run_verify(ledger: Ledger, terminal: Terminal, names: Iterable[str]) -> ExitCode:
    """Verify views."""
    with watched(terminal, "verify") as watch:
        found = ledger.projections.verify(names, watch=watch)
    if terminal.as_json:
        terminal.give([asdict(one) for one in found])
    else:
        verified_table(terminal, found)
    return ExitCode.DONE if all(one.equal for one in found) else ExitCode.PARTLY


def rebuilt_table(terminal: Terminal, found: Iterable[Rebuilt]) -> None:
    """Show what rebuilds did."""
    rows = (
        (one.name, one.generation, one.events, one.rows, duration(one.seconds)) for one in found
    )
    headers = ("NAME", "GENERATION", "EVENTS", "ROWS", "TOOK")
    terminal.table(headers, rows, right=headers[1:])


def verified_table(terminal: Terminal, found: Iterable[Verified]) -> None:
    """Show what comparisons found."""
    found = list(found)
    rows = (
        (
            one.name,
            one.position,
            one.rows,
            Text("equal", GOOD) if one.equal else Text("differs", BAD),
        )
        for one in found
    )
    headers = ("NAME", "AT POSITION", "ROWS", "RESULT")
    terminal.table(headers, rows, right=headers[1:3])
    for one in found:
        if one.difference is not None:
            terminal.say(f"{one.name}: {one.difference}", BAD)


@contextmanager
def watched(terminal: Terminal, label: str) -> Generator[Watch]:
    """Show a bar for each view that is read through."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} events"),
        console=terminal.err,
        transient=True,
        disable=not terminal.moving,
        expand=True,
    )
    with progress:
        task = progress.add_task(label, total=1)

        def watch(name: str, position: int, head: int) -> None:
            progress.update(
                task, description=f"{label} {name}", completed=position, total=max(head, 1)
            )

        yield watch
