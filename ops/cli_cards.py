"""What is said of one execution: after it ran, and when somebody asks for it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from rich.text import Text

from action_ledger.domain.actions import BUILT_IN

from .blockers import blockers_of
from .cli_lookup import Details, OutcomeCount, UndoView
from .cli_next_steps import next_steps
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
from .cli_waits import show_waits
from .cli_wording import parameters_text, stored_selection_text
from .handles import ExecutionHandle
from .progress import Progress
from .views import ExecutionView

SHOWN = 10
BUILT_IN_NAMES = frozenset(action.name for action in BUILT_IN)
MEASURABLE = 0.01
"""Seconds below which a rate would be noise."""

REASONS = {
    "no_longer_matches": (
        "no longer matched when its batch came",
        "no longer matched when their batch came",
    ),
    "vanished": (
        "is not in the table: its key was mistyped, or it went before its batch came",
        "are not in the table: their keys were mistyped, or they went before their batch came",
    ),
    "unchanged": (
        "was left as it is by the action's function",
        "were left as they are by the action's function",
    ),
    "trigger": ("was kept from it by a trigger", "were kept from it by a trigger"),
    "changed_since": ("was changed since", "were changed since"),
    "columns_changed_since": (
        "came back but for columns that were changed since",
        "came back but for columns that were changed since",
    ),
    "gone": ("is no longer in the table", "are no longer in the table"),
    "locked": (
        "was locked by another execution or undo",
        "were locked by other executions or undos",
    ),
    "parent_not_restored": (
        "stays away with its parent, which is not back",
        "stay away with their parents, which are not back",
    ),
    "taken": (
        "cannot come back, since another row has its key",
        "cannot come back, since other rows have their keys",
    ),
}
"""Why records were left alone, said of one and of several."""


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
    terminal.facts(_facts(details, execution.progress(), execution.reached()))
    show_waits(terminal, blockers_of(execution, view.ended_at))
    show_undos(terminal, details.undos)
    if view.applied:
        some = islice(execution.changes(), min(limit, 3))
        changes_table(terminal, some, own=view.table, heading="\nWhat was changed, for example")
    show_failures(terminal, execution, view.failed, limit)
    terminal.say()
    terminal.steps(next_steps(details, execution))


def show_result(terminal: Terminal, details: Details, execution: ExecutionHandle) -> None:
    """Show what came of an execution that has just run."""
    view, counts = details.execution, execution.progress()
    terminal.say(Text.assemble(("Execution ", "bold"), str(view.id), "  ", state(view.status)))
    terminal.say(tally(counts, applied=past_tense(view.action)))
    for line in reached_lines(execution.reached()):
        terminal.say(line)
    terminal.say(f"  {pace(counts)}")
    if view.ended_at is None and (limited := limits(view)):
        terminal.say(f"  {limited}")
    for line in outcome_lines(details.outcomes):
        terminal.say(line, WARN)
    if view.error:
        terminal.say(f"  It stopped: {view.error}", BAD)
    show_undos(terminal, details.undos)
    show_failures(terminal, execution, view.failed, SHOWN)
    terminal.steps(next_steps(details, execution))


def show_failures(
    terminal: Terminal,
    execution: ExecutionHandle,
    failed: int,
    limit: int,
) -> None:
    """Show the first records that failed."""
    if failed:
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
        parts += [f"{undo.skipped:,} {left(undo.skipped)}"] if undo.skipped else []
        parts += [f"{undo.failed:,} failed"] if undo.failed else []
        parts += [f"{undo.pending:,} pending"] if undo.pending else []
        asked = clean(undo.asked_by.told(contact_erased=undo.contact_erased))
        terminal.say(f"    by {asked}, {ago(undo.requested_at)}: {', '.join(parts)}")


def tally(counts: Progress, *, applied: str, skipped: str = "skipped") -> Text:
    """Say how many records came to which end."""
    parts: list[str | tuple[str, str]] = [f"  {many(counts.total, 'record')}: "]
    named = (
        (counts.applied, applied, GOOD),
        (counts.skipped, skipped, WARN),
        (counts.failed, "failed", BAD),
        (counts.pending, "pending (not processed)" if counts.closed else "pending", "cyan"),
    )
    said = [(f"{number:,} {name}", style) for number, name, style in named if number]
    nothing = "nothing to do" if counts.total_final else "none planned yet"
    for n, part in enumerate(said or [(nothing, QUIET)]):
        parts += [", ", part] if n else [part]
    return Text.assemble(*parts)


def pace(counts: Progress) -> str:
    """Say how long it took, and how fast that was.

    What fits one batch is recorded at once, begin and end, so there its times say nothing.
    """
    # Of one that was stopped, batches that nobody took up are closed too.
    batches = "it was stopped" if counts.closed else many(counts.batches_done, "batch")
    if counts.elapsed < MEASURABLE:
        return batches
    rate = f", {counts.rate:,.0f} records a second" if counts.rate and counts.processed > 1 else ""
    paused = f" ({duration(counts.paused)} of them paused)" if counts.paused >= MEASURABLE else ""
    return (
        f"{batches} {'after' if counts.closed else 'in'} {duration(counts.elapsed)}{paused}{rate}"
    )


def limits(view: ExecutionView) -> str | None:
    """Say how it is held to a pace; None when it is not."""
    said: list[str] = []
    if view.rate is not None:
        said.append(f"at most {view.rate:,g} records a second")
    if view.concurrency is not None:
        said.append(f"at most {many(view.concurrency, 'batch')} at a time")
    return ", ".join(said) or None


def outcome_lines(outcomes: Iterable[OutcomeCount]) -> Iterator[str]:
    """Say why records were left alone."""
    for count in outcomes:
        if count.outcome != "failed":
            one, several = REASONS.get(count.reason, (count.reason, count.reason))
            yield f"  {count.records:,} {one if count.records == 1 else several}"


def reached_lines(reached: dict[str, int]) -> Iterator[str]:
    """Say how many rows of other tables went or changed along."""
    for table, records in reached.items():
        yield f"  and {records:,} of {clean(table)} through foreign keys"


def left(records: int) -> str:
    """Say of records that an undo did not touch them."""
    return "left as it is" if records == 1 else "left as they are"


def past_tense(action: str, *, other: str = "done") -> str:
    """Say what became of a record: ``archived``, ``updated``; ``other`` for an action of the host's own."""
    if action not in BUILT_IN_NAMES:
        return other
    return f"{action}d" if action.endswith("e") else f"{action}ed"


def _facts(
    details: Details, counts: Progress, reached: dict[str, int]
) -> Iterator[tuple[str, Any]]:
    view = details.execution
    parameters = parameters_text(view.action, details.parameters)
    yield "action", f"{view.action} {parameters}".strip()
    yield "table", view.table
    if details.selection is not None:
        yield "records", stored_selection_text(details.selection)
    yield "by", clean(view.asked_by.told(contact_erased=view.contact_erased))
    yield "context", details.context and clean(str(details.context))
    yield "reason", details.reason
    yield "confirmed", details.preview_id and f"by preview {details.preview_id}"
    yield "asked for", f"{moment(view.requested_at)} ({ago(view.requested_at)})"
    if view.ended_at is not None:
        yield "ended", f"{moment(view.ended_at)}, {pace(counts)}"
    else:
        growing = "" if view.total_final else " so far, planning goes on"
        yield "batches", f"{view.batches_done:,} of {view.batches:,}{growing}"
    yield "result", tally(counts, applied=past_tense(view.action))[2:]
    for line in reached_lines(reached):
        yield "", line.strip()
    if view.undone:
        yield "undone", f"{many(view.undone, 'record')}, as it stands now"
    for line in outcome_lines(details.outcomes):
        yield "", line.strip()
    if view.ended_at is None:
        yield "limits", limits(view)
    yield "held back", None if counts.held is None else Text(clean(counts.held), WARN)
    yield "waits for", ", ".join(map(str, counts.waits_for)) or None
    yield "throttle", _probe_error(counts)
    yield "error", None if view.error is None else Text(view.error, BAD)
    if details.waiting.units:
        waiting = details.waiting
        yield "waiting", f"{many(waiting.units, 'batch')} to be tried again after {waiting.error}"
    if view.ended_at is not None:
        yield "undo", _window(details)


def _probe_error(counts: Progress) -> Text | None:
    if counts.probe_error is None:
        return None
    return Text(f"holds nothing back: its probe failed with {counts.probe_error}", WARN)


def _window(details: Details) -> str:
    if not details.reversible:
        return f"never: {details.irreversible}"
    if details.undo_until is None:
        return "when it has ended"
    if not details.execution.applied:
        return "nothing was changed"
    until = moment(details.undo_until)
    return f"was possible until {until}" if details.undo_expired else f"possible until {until}"
