"""What a preview looks like: counts, what would change, what would fail, and what to know before it is run."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from action_ledger.domain.selection import Where, columns_read
from action_ledger.workers.previewed import Note, Preview

from .builder import Request
from .cli_cards import REASONS, past_tense
from .cli_outcome_tables import changes_table, key_text, sample_table
from .cli_terminal import BAD, GOOD, QUIET, WARN, Terminal, clean, duration, many, moment

DIFFERENCES = 3
"""Records whose differences are shown; --json has as many as the sample."""
KILO = 1_000

NOTES: Mapping[Note, str] = {
    Note.SAMPLE: "There are more records than were tried: the numbers are those of a sample.",
    Note.HELD: "Others hold records, so nothing was tried.",
    Note.EFFECT: "The action reaches outside of the database, and that was not tried.",
    Note.KEYS: "It changes keys of more records than are tried, and a part of them would say nothing.",
    Note.STOPS: "So many records fail that the run would be stopped.",
    Note.SEQUENCES: "Triggers were fired, or other tables written: sequences may have advanced, and do not go back.",
}
"""What is to be known, in words."""


def show_preview(terminal: Terminal, request: Request, found: Preview) -> None:
    """Show all of it, but for the token."""
    terminal.say(
        f"{found.action} of {found.table} would change {many(found.count, 'record')} "
        f"in {many(found.batches, 'batch')}.",
        WARN,
    )
    terminal.facts(_facts(found))
    for note in found.notes:
        terminal.say(f"  {NOTES[note]}", WARN)
    if found.sample:
        terminal.say(
            f"The first {len(found.sample)}, as they are:"
            if found.count > len(found.sample)
            else ""
        )
        sample_table(terminal, found.sample, _telling_columns(request))
    if found.changes:
        terminal.say("\nWhat would change, for example", "bold")
        changes_table(terminal, (dict(one) for one in found.changes[:DIFFERENCES]))
    if found.failures:
        terminal.say(f"\nWould fail ({found.tally.failed:,})", "bold")
        rows = (
            (key_text(one.key), one.sqlstate or "", one.constraint or "", one.message or "")
            for one in found.failures
        )
        terminal.table(("KEY", "CODE", "CONSTRAINT", "MESSAGE"), rows, whole=("KEY",))


def show_token(terminal: Terminal, found: Preview) -> None:
    """Say how to go on with exactly this."""
    terminal.say("\nEverything was rolled back: no record was changed.", QUIET)
    until = moment(found.expires_at)
    terminal.say(f"The same with run, and --confirm {found.token}, does it until {until}.", QUIET)


def _facts(found: Preview) -> Iterator[tuple[str, Any]]:
    whole = "all of them" if found.exact else f"{found.tried:,} of {found.count:,}"
    yield "tried", whole if found.count else None
    if found.tried:
        yield "result", _result(found)
        yield "change set", size(found.change_bytes or 0)
    for reason, records in found.skipped.items():
        one, several = REASONS.get(reason, (reason, reason))
        yield "", f"{records:,} {one if records == 1 else several}"
    for along in found.along or ():
        counts = [(n, k) for k in ("inserted", "updated", "deleted") if (n := getattr(along, k))]
        at_most = "at most " if found.tally.failed else ""
        told = ", ".join(f"{number:,} {kind}" for number, kind in counts)
        yield "along", f"{along.table}: {at_most}{told}"
    if found.held is not None:
        yield "held", f"{many(found.held.records, 'record')} by others"
        for holder in found.held.holders:
            since = "" if holder.since is None else f", since {moment(holder.since)}"
            yield "", f"process {holder.pid} ({clean(holder.application or 'unnamed')}{since})"
    if found.expected_seconds is not None:
        yield "takes", f"about {duration(found.expected_seconds)}"
    if found.undo_until is None:
        yield "undo", Text("never: it cannot be undone", BAD)
    else:
        yield "undo", f"possible until about {moment(found.undo_until)}"


def _result(found: Preview) -> Text:
    tally = found.tally
    named = (
        (tally.applied, past_tense(found.action), GOOD),
        (tally.skipped, "skipped", WARN),
        (tally.failed, "failed", BAD),
    )
    said = [(f"{number:,} {name}", style) for number, name, style in named if number]
    return Text(", ").join(Text(text, style) for text, style in said)


def _telling_columns(request: Request) -> list[str]:
    """Name the columns that the command is about, to show them before others."""
    selection = request.target.selection
    chosen = sorted(columns_read(selection.predicate)) if isinstance(selection, Where) else []
    return [*chosen, *request.options["parameters"].get("values", {}), "name", "title"]


def size(number: float) -> str:
    """Show a number of bytes in the unit that fits."""
    for unit in ("bytes", "kB", "MB"):
        if number < KILO:
            return f"{number:,.0f} {unit}"
        number /= KILO
    return f"{number:,.1f} GB"
