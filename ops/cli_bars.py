"""Progress bars: how far an execution or an undo has come, on a terminal; nothing where nobody looks on."""

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from .blockers import Blocker
from .cli_terminal import WARN, Terminal, clean, duration
from .cli_waits import waits_text
from .handle import Handle
from .progress import Progress as Counts

EVERY = 0.1
"""Seconds between looks at the counts: each is a query."""

Watch = Callable[[Handle], None]


class _Moving(Progress):
    """A bar, and below it for whom the work waits, if for anybody."""

    waits: str | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """Give what is shown now."""
        yield from super().get_renderables()
        if self.waits:
            yield Text(f"  {self.waits}", WARN)


class Bar:
    """One bar, fed from the counts of a handle."""

    def __init__(self, progress: _Moving, label: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(label, total=None, facts="planning")
        self._looked = 0.0

    def watch(self, handle: Handle) -> None:
        """Look at the counts, but not too often."""
        now = time.monotonic()
        if now - self._looked >= EVERY:
            self._looked = now
            self.show(handle.progress())

    def show(self, counts: Counts) -> None:
        """Show counts."""
        self._progress.update(
            self._task,
            completed=counts.processed,
            total=counts.total or None,
            facts=_facts(counts),
        )

    def blocked(self, blockers: Iterable[Blocker]) -> None:
        """Show for whom the work waits; from any thread."""
        self._progress.waits = waits_text(blockers)


@contextmanager
def watching(terminal: Terminal, label: str) -> Generator[Bar]:
    """Show a bar while something runs; it is gone afterwards, and what came of it is said in words."""
    progress = _Moving(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[facts]}"),
        console=terminal.err,
        transient=True,
        disable=not terminal.moving,
        expand=True,
    )
    with progress:
        yield Bar(progress, label)


def _facts(counts: Counts) -> str:
    more = "" if counts.total_final else "+"
    percent = f"{int(counts.percent)}%" if counts.total_final else ""
    parts = [
        percent,
        f"{counts.processed:,}/{counts.total:,}{more}",
        f"{counts.batches_done}/{counts.batches} batches",
        f"{counts.rate:,.0f}/s" if counts.rate else "",
        f"{duration(counts.eta)} left" if counts.eta and counts.total_final else "",
    ]
    if counts.held is not None:
        parts.append(f"held back: {clean(counts.held)}")
    return "  ".join(part for part in parts if part)


@contextmanager
def counting(terminal: Terminal, things: str) -> Generator[Callable[[int, int], None]]:
    """Show a bar for something that counts by itself: ``watch(done, total)``."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn(things),
        BarColumn(bar_width=None),
        TextColumn("{task.completed:,.0f}"),
        console=terminal.err,
        transient=True,
        disable=not terminal.moving,
        expand=True,
    )
    with progress:
        task = progress.add_task(things, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
