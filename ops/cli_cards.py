"""What is said of one execution: after it ran, and when somebody asks for it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from rich.text import Text

from action_ledger.domain.execution import ExecutionStatus

from .cli_lookup import Details, OutcomeCount, UndoView
from .cli_outcome_tables import changes_table, failures_table
from .cli_terminal import (
    BAD,
    GOOD,
    QUIET,
    WARN,
    Terminal,
    ago,
    clean,
    duration,
    many,
    moment,
    state,
)
from .cli_wording import parameters_text, stored_selection_text
from .handles import ExecutionHandle
from .progress import Progress

SHOWN = 10
MEASURABLE = 0.01
"""Seconds below which a rate would be noise."""

REASONS = {
    "no_longer_matches": "no longer matched when their batch came",
    "vanished": "were gone when their batch came",
    "trigger": "were kept from it by a trigger",
    "changed_since": "were changed by somebody else since",
    "gone": "are no longer in the table",
    "taken": "cannot come back, since another row has their key",
}


def show_execution(
    terminal: Terminal,
    details: Details,
    execution: ExecutionHandle,
    *,
    limit: int = SHOWN,
) -> None:
    """Show everything that is known of an execution."""
    view = details.execution
    terminal.say(Text.assemble(("Execution ", "bold"), str(view.id), "  ", state(view.status)))
    terminal.facts(_facts(details, execution.progress()))
    show_undos(terminal, details.undos)
    if view.applied:
        terminal.say("\nWhat was changed, for example", "bold")
        changes_table(terminal, islice(execution.changes(), min(limit, 3)))
    show_failures(terminal, execution, view.failed, limit)
    terminal.say()
    for line in next_steps(details):
        terminal.say(line, QUIET)


def show_result(terminal: Terminal, details: Details, execution: ExecutionHandle) -> None:
    """Show what came of an execution that has just run."""
    view, counts = details.execution, execution.progress()
    terminal.say(Text.assemble(("Execution ", "bold"), str(view.id), "  ", state(view.status)))
    terminal.say(tally(counts, applied=past_tense(view.action)))
    terminal.say(f"  {pace(counts)}")
    for line in outcome_lines(details.outcomes):
        terminal.say(line, WARN)
    if view.error:
        terminal.say(f"  It stopped: {view.error}", BAD)
    show_failures(terminal, execution, view.failed, SHOWN)
    for line in next_steps(details):
        terminal.say(line, QUIET)


def show_failures(
    terminal: Terminal,
    execution: ExecutionHandle,
    failed: int,
    limit: int,
) -> None:
    """Show the first records that failed."""
    if failed and limit:
        more = f", the first {limit}" if failed > limit else ""
        terminal.say(f"\nFailed ({failed:,}{more})", "bold")
        failures_table(terminal, islice(execution.failures(), limit))


def show_undos(terminal: Terminal, undos: list[UndoView]) -> None:
    """List what was taken back, and what of that was done again."""
    if not undos:
        return
    terminal.say("\nUndos and redos", "bold")
    for undo in undos:
        terminal.say(Text.assemble("  ", str(undo.id), f"  {undo.kind}  ", state(undo.status)))
        done = "restored" if undo.kind == "undo" else "done again"
        parts = [f"{undo.applied:,} {done}"]
        parts += [f"{undo.skipped:,} left as they are"] if undo.skipped else []
        parts += [f"{undo.failed:,} failed"] if undo.failed else []
        parts += [f"{undo.pending:,} pending"] if undo.pending else []
        terminal.say(f"    by {clean(undo.actor)}, {ago(undo.requested_at)}: {', '.join(parts)}")


def tally(counts: Progress, *, applied: str, skipped: str = "skipped") -> Text:
    """Say how many records came to which end."""
    parts: list[str | tuple[str, str]] = [f"  {many(counts.total, 'record')}: "]
    named = (
        (counts.applied, applied, GOOD),
        (counts.skipped, skipped, WARN),
        (counts.failed, "failed", BAD),
        (counts.pending, "not processed" if counts.closed else "pending", "cyan"),
    )
    said = [(f"{number:,} {name}", style) for number, name, style in named if number]
    for n, part in enumerate(said or [("nothing to do", QUIET)]):
        parts += [", ", part] if n else [part]
    return Text.assemble(*parts)


def pace(counts: Progress) -> str:
    """Say how long it took, and how fast that was.

    What fits one batch is recorded at once, begin and end, so there its times say nothing.
    """
    batches = many(counts.batches_done, "batch")
    if counts.elapsed < MEASURABLE:
        return batches
    rate = f", {counts.rate:,.0f} records a second" if counts.rate and counts.processed > 1 else ""
    return f"{batches} in {duration(counts.elapsed)}{rate}"


def outcome_lines(outcomes: Iterable[OutcomeCount]) -> Iterator[str]:
    """Say why records were left alone."""
    for count in outcomes:
        if count.outcome != "failed":
            yield f"  {count.records:,} {REASONS.get(count.reason, count.reason)}"


def past_tense(action: str) -> str:
    """Say what became of a record: ``archived``, ``updated``."""
    return f"{action}d" if action.endswith("e") else f"{action}ed"


def next_steps(details: Details) -> Iterator[str]:
    """Say what can be done now."""
    view = details.execution
    status = ExecutionStatus(view.status)
    if status is ExecutionStatus.PAUSED:
        yield f"Let it go on: action-ledger resume {view.id}"
        return
    if not status.ended:
        yield "Workers go on with it: action-ledger worker"
        return
    if view.failed:
        yield f"Try what failed again: action-ledger retry {view.id}"
    if view.pending:
        yield f"Do what was not processed: action-ledger retry {view.id} --only-not-processed"
    if not view.applied or status is ExecutionStatus.ROLLED_BACK:
        return
    if details.undos and details.undos[-1].kind == "undo" and details.undos[-1].applied:
        yield "It was undone, or some of it. To apply that again:"
        yield f"  action-ledger redo {details.undos[-1].id}"
    elif not details.reversible:
        yield "It was asked for as irreversible and cannot be undone."
    elif details.undo_expired:
        yield "Its undo window has passed."
    elif details.undo_until is not None:
        yield f"Undo it until {moment(details.undo_until)}:"
        yield f"  action-ledger undo {view.id}"


def _facts(details: Details, counts: Progress) -> Iterator[tuple[str, Any]]:
    view = details.execution
    parameters = parameters_text(view.action, details.parameters)
    yield "action", f"{view.action} {parameters}".strip()
    yield "table", view.table
    if details.selection is not None:
        yield "records", stored_selection_text(details.selection)
    yield "by", view.actor
    yield "reason", details.reason
    yield "asked for", f"{moment(view.requested_at)} ({ago(view.requested_at)})"
    if view.ended_at is not None:
        yield "ended", f"{moment(view.ended_at)}, {pace(counts)}"
    else:
        growing = "" if view.total_final else " so far, planning goes on"
        yield "batches", f"{view.batches_done:,} of {view.batches:,}{growing}"
    yield "result", tally(counts, applied=past_tense(view.action))[2:]
    for line in outcome_lines(details.outcomes):
        yield "", line.strip()
    yield "error", None if view.error is None else Text(view.error, BAD)
    if details.waiting.units:
        waiting = details.waiting
        yield "waiting", f"{many(waiting.units, 'batch')} to be tried again after {waiting.error}"
    if view.ended_at is not None:
        yield "undo", _window(details)


def _window(details: Details) -> str:
    if not details.reversible:
        return "never: it was asked for as irreversible"
    if details.undo_until is None:
        return "when it has ended"
    until = moment(details.undo_until)
    return f"was possible until {until}" if details.undo_expired else f"possible until {until}"
