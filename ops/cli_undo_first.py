"""What is shown and asked before an undo: what it would do, and who wrote to the same records since."""

from collections.abc import Iterator
from typing import Any

import typer
from rich.text import Text

from action_ledger.domain.errors import ConfirmationRequired
from action_ledger.domain.undo import ConflictPolicy
from action_ledger.workers.undo_previewed import UndoPreview

from .cli_cards import REASONS
from .cli_exit_codes import ExitCode
from .cli_later import later_lines, later_than
from .cli_outcome_tables import changes_table, conflicts_table, key_text
from .cli_preview_card import DIFFERENCES, NOTES
from .cli_terminal import BAD, GOOD, QUIET, WARN, Terminal, clean, duration, many, moment
from .handles import UndoRequest
from .ledger import Ledger

SAMPLE = 5


def show_first(
    ledger: Ledger, terminal: Terminal, request: UndoRequest, *, sample: int, records: int | None
) -> None:
    """Show what an undo would do; nothing is changed, and nothing recorded."""
    found = request.preview(sample, records=records)
    later = later_than(ledger, found.execution_id, found.of_undo)
    if terminal.as_json:
        terminal.give({**found.model_dump(mode="json"), "later": later})
        return
    show_undo_preview(terminal, found)
    for line in later_lines(later):
        terminal.say(line, WARN)
    terminal.say("\nEverything was rolled back: no record was changed.", QUIET)


def confirm_undo(ledger: Ledger, terminal: Terminal, request: UndoRequest, word: str) -> None:
    """Ask before an undo: for its name where it overwrites what others wrote, or is of many records; else for a yes.

    Raises ConfirmationRequired where nobody can be asked what has to be asked, and leaves after another answer.
    """
    forced = request.options.get("policy") == ConflictPolicy.FORCE
    policy = ledger.settings.cli_confirmation
    asks = terminal.can_ask()
    if forced and not asks:
        reason = "with --on-conflict force it overwrites later changes, and there is nobody to ask"
        raise ConfirmationRequired(action=word, reason=reason)
    found = request.preview(SAMPLE, records=None if asks else 0)
    many_of_them = policy.above is not None and found.count > policy.above
    strictly = forced or many_of_them or policy.actions == "always"
    if not asks:
        if strictly:
            reason = f"it is of {many(found.count, 'record')}, and there is nobody to ask"
            raise ConfirmationRequired(action=word, reason=reason)
        return
    show_undo_preview(terminal, found)
    for line in later_lines(later_than(ledger, found.execution_id, found.of_undo)):
        terminal.say(line, WARN)
    what = f"{word.capitalize()} {many(found.count, 'record')} of {found.table}?"
    if not (terminal.ask_for(word, what) if strictly else terminal.ask(what)):
        terminal.note("Nothing was changed.")
        raise typer.Exit(ExitCode.UNCONFIRMED)


def show_undo_preview(terminal: Terminal, found: UndoPreview) -> None:
    """Show all that a preview tells."""
    word = "undo" if found.of_undo is None else "redo"
    only = f", {', '.join(found.only_columns)} only" if found.only_columns else ""
    terminal.say(
        f"The {word} of {found.action} of {found.table} would be of {many(found.count, 'record')} "
        f"in {many(found.batches, 'batch')}{clean(only)}.",
        WARN,
    )
    terminal.facts(_facts(found))
    for note in found.notes:
        terminal.say(f"  {NOTES[note]}", WARN)
    if found.changes:
        terminal.say("\nWhat would change, for example", "bold")
        changes_table(terminal, (dict(one) for one in found.changes[:DIFFERENCES]))
    if found.conflicts:
        terminal.say("\nConflicts, for example", "bold")
        conflicts_table(terminal, found.conflicts)
    if found.failures:
        terminal.say(f"\nWould fail ({found.tally.failed:,})", "bold")
        rows = (
            (key_text(one.key), one.sqlstate or "", one.constraint or "", one.message or "")
            for one in found.failures
        )
        terminal.table(("KEY", "CODE", "CONSTRAINT", "MESSAGE"), rows, whole=("KEY",))


def _facts(found: UndoPreview) -> Iterator[tuple[str, Any]]:
    yield "on conflict", found.policy
    yield from _tried(found)
    for name, of in found.columns.items():
        changed = f", changed since in {of.changed_since:,}" if of.changed_since else ""
        yield "column", f"{clean(name)}: back in {of.restored:,}{changed}"
    for table, came in found.children.items():
        behind = f", {came.behind:,} not" if came.behind else ""
        yield "and", f"{came.applied:,} of {clean(table)} would come back{behind}"
    for table, records in found.reached.items():
        yield "and", f"{records:,} of {clean(table)} would go along"
    if found.excepted:
        yield "except", f"{clean(', '.join(found.excepted))}, which a trigger writes"
    if found.held is not None:
        yield "held", f"{many(found.held.records, 'record')} by others"
    if found.expected_seconds is not None:
        yield "takes", f"about {duration(found.expected_seconds)}"
    if found.undo_until is not None:
        yield "until", moment(found.undo_until)


def _tried(found: UndoPreview) -> Iterator[tuple[str, Any]]:
    """Say what came of those that were tried, and how many of all are in conflict."""
    yield "tried", "all of them" if found.exact else f"{found.tried:,} of {found.count:,}"
    if found.tried:
        yield "result" if found.exact else "of those", _result(found)
    for reason, records in found.left.items():
        one, several = REASONS.get(reason, (reason, reason))
        yield "", f"{records:,} {one if records == 1 else several}"
    if (conflicts := found.conflicts_in_all) is not None:
        was = "was" if conflicts == 1 else "were"
        yield "of all", f"{many(conflicts, 'record')} {was} changed since"


def _result(found: UndoPreview) -> Text:
    tally = found.tally
    named = (
        (tally.applied, "restored" if found.of_undo is None else "done again", GOOD),
        (tally.skipped, "left as they are", WARN),
        (tally.failed, "failed", BAD),
    )
    said = [(f"{number:,} {name}", style) for number, name, style in named if number]
    return Text(", ").join(Text(text, style) for text, style in said)
