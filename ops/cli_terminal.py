"""The terminal: what is printed, asked for and shown moving. Results go to stdout, all else to stderr.

Nothing is cut off when the output goes to a file or a pipe: lines are then as long as they have to be. Values
of records are shown with their control characters escaped, so that no record can write to the terminal.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .cli_hints import ACTOR, YOU, Step, needs_name, pasteable

UNLIMITED = 10_000
MINUTE, HOUR, DAY = 60, 3600, 86_400
LONG_TEXT = 200

GOOD, BAD, WARN, QUIET = "green", "bold red", "yellow", "dim"
STATES = {
    "completed": GOOD,
    "running": "cyan",
    "requested": "cyan",
    "paused": WARN,
    "rolling_back": WARN,
    "rolled_back": WARN,
    "cancelled": WARN,
    "failed": BAD,
    "rejected": BAD,
    "compensating": WARN,
    "compensated": WARN,
    "refused": BAD,
    "kept": WARN,
    "active": "cyan",
    "fired": GOOD,
    "missed": WARN,
}


class Terminal:
    """Where a command speaks. With ``as_json`` the results are JSON, and nothing else is said."""

    def __init__(self, *, as_json: bool = False, given: tuple[str, ...] = ()) -> None:
        """Look at where the output goes. ``given`` are global options that hints have to repeat."""
        self.as_json = as_json
        self._given = given
        self.out = _console(stderr=False)
        self.err = _console(stderr=True)

    @property
    def moving(self) -> bool:
        """Whether somebody watches, so that progress is to be shown."""
        return self.err.is_terminal and not self.as_json

    @property
    def narrow(self) -> bool:
        """Whether an id and its facts do not fit on one line."""
        return self.out.width < WIDE

    def can_ask(self) -> bool:
        """Whether there is somebody to answer."""
        return not self.as_json and sys.stdin.isatty() and self.err.is_terminal

    def ask(self, question: str) -> bool:
        """Ask for a yes; anything else is a no."""
        self.err.print(Text(f"{question} [y/N] "), end="")
        try:
            return input().strip().lower() in {"y", "yes"}
        except (EOFError, KeyboardInterrupt):
            self.err.print()
            return False

    def ask_for(self, word: str, question: str) -> bool:
        """Ask somebody to type a word; anything else is a no."""
        self.err.print(Text(f"{question} Type {word} to go on: "), end="")
        try:
            return input().strip() == word
        except (EOFError, KeyboardInterrupt):
            self.err.print()
            return False

    def say(self, text: str | Text = "", style: str | None = None) -> None:
        """Print a result for people."""
        if not self.as_json:
            self.out.print(text if isinstance(text, Text) else Text(text, style or ""))

    def note(self, text: str | Text, style: str | None = None) -> None:
        """Say something beside the result, on stderr."""
        if not self.as_json:
            self.err.print(text if isinstance(text, Text) else Text(text, style or ""))

    def steps(self, steps: Iterable[Step], *, beside: bool = False) -> None:
        """Say what can be done now; ``beside`` the result, on stderr.

        Commands are not folded: the terminal itself breaks them, so that they can be copied whole.
        """
        if self.as_json:
            return
        console, unnamed = self.err if beside else self.out, False
        for step in steps:
            console.print(Text(f"{step.why}:" if step.words else step.why, QUIET))
            if step.words:
                console.print(Text(f"  {pasteable(step, self._given)}", QUIET), soft_wrap=True)
                unnamed = unnamed or needs_name(step)
        if unnamed:
            text = f"{YOU} is the word to fill in: who asks, such as user:42. Or set {ACTOR} once."
            console.print(Text(text, QUIET))

    def cut(self, text: str, length: int) -> str:
        """Cut what is long on a terminal; in a pipe nothing is cut."""
        return clean(text, length if self.out.is_terminal else None)

    def give(self, value: object) -> None:
        """Print JSON."""
        self.out.file.write(
            json.dumps(value, default=_as_json, ensure_ascii=False, indent=2) + "\n"
        )

    def table(
        self,
        headers: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        right: Iterable[str] = (),
        whole: Iterable[str] = (),
        indent: int = 0,
    ) -> None:
        """Print a table. Columns in ``right`` are aligned there; those in ``whole`` are never folded."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for header in headers:
            table.add_column(
                header,
                justify="right" if header in right else "left",
                no_wrap=header in whole,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*map(self._cell, row))
        self._print(_indented(table, indent) if indent else table)

    def facts(self, facts: Iterable[tuple[str, object]]) -> None:
        """Print names and values, one a line; those whose value is None are left out."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in facts:
            if value is not None:
                grid.add_row(f"  {name}", self._cell(value))
        self._print(grid)

    def _cell(self, value: object) -> Text:
        return cell(self.cut(value, LONG_TEXT) if isinstance(value, str) else value)

    def _print(self, table: Table) -> None:
        """Print a table; outside of a terminal without the blanks that fill its last column."""
        if self.out.is_terminal:
            self.out.print(table)
            return
        with self.out.capture() as captured:
            self.out.print(table)
        self.out.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


WIDE = 150
"""So many columns take an execution on one line, with its whole id and its counts."""


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = UNLIMITED
    return console


def _indented(table: Table, by: int) -> Table:
    outer = Table.grid(padding=0)
    outer.add_column(width=by)
    outer.add_column()
    outer.add_row("", table)
    return outer


def cell(value: object) -> Text:
    """Make what stands in a table: a text with nothing in it that moves the cursor."""
    match value:
        case Text():
            return value
        case None:
            return Text("null", QUIET)
        case bool():
            return Text("yes" if value else "no")
        case int():
            return Text(f"{value:,}")
        case datetime():
            return Text(moment(value))
        case _:
            return Text(clean(str(value)))


def clean(text: str, length: int | None = None) -> str:
    """Escape what is not printable, and cut what is longer than it may be."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if length is None or len(shown) <= length else shown[: length - 1] + "…"


def state(status: str) -> Text:
    """Show a status in its colour."""
    return Text(status, STATES.get(status, ""))


def moment(at: datetime) -> str:
    """Show a time by the clock of this machine."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short_moment(at: datetime) -> str:
    """Show a time of today without its date, and any other without its seconds."""
    local = at.astimezone()
    today = local.date() == datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")


def ago(at: datetime, now: datetime | None = None) -> str:
    """Say how long ago something was, or how far off it is."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    return f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """Show a length of time in the unit that fits."""
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= unit:
            rest = int(seconds % unit) // {DAY: HOUR, HOUR: MINUTE, MINUTE: 1}[unit]
            smaller = {DAY: "h", HOUR: "min", MINUTE: "s"}[unit]
            return f"{int(seconds // unit)} {name}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - a tenth matters below


def many(number: int, thing: str) -> str:
    """Count things: ``1 record``, ``2 records``."""
    plural = thing if number == 1 else {"batch": "batches"}.get(thing, f"{thing}s")
    return f"{number:,} {plural}"


def _as_json(value: object) -> Any:  # noqa: ANN401 - JSON is anything
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)
