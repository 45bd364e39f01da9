"""Undoes and redoes what was named on the command line, and shows what came back and what did not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from rich.text import Text

from action_ledger.domain.actor import Asker
from action_ledger.domain.errors import InvalidParameters, NothingToUndo, UndoInProgress
from action_ledger.domain.undo import ConflictPolicy

from .blockers import blockers_of
from .cli_cards import left, outcome_lines, pace, tally
from .cli_exit_codes import ExitCode
from .cli_hints import Step, within
from .cli_later import later_changes, later_lines, later_than
from .cli_lookup import (
    LAST,
    Found,
    OutcomeCount,
    UndoView,
    find,
    read_details,
    read_outcome_counts,
    read_undo,
    redone_under,
    taken_in,
)
from .cli_next_steps import going_on, saying_how_on, show_waiting
from .cli_outcome_tables import conflicts_table, failures_table, keys_text
from .cli_running import finish
from .cli_terminal import BAD, WARN, Terminal, ago, clean, state
from .cli_undo_first import confirm_undo, show_first
from .cli_waits import show_waits
from .cli_wanted import split_keys
from .handles import UndoHandle, UndoRequest
from .ledger import Ledger
from .outcomes import Outcome

SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Back:
    """The options of an undo and of a redo."""

    by: Asker | None
    reason: str | None
    once: str | None
    on_conflict: str
    batches: tuple[int, ...]
    keys: str | None
    columns: str | None
    settings: dict[str, str] | None
    role: str | None
    workers: int
    submit: bool
    confirmed: bool
    preview: bool
    sample: int
    records: int | None

    def narrow(self, request: UndoRequest) -> UndoRequest:
        """Put the options into a request."""
        if self.on_conflict not in set(ConflictPolicy):
            detail = f"--on-conflict is one of {', '.join(ConflictPolicy)}, not {self.on_conflict}"
            raise InvalidParameters(action="undo", detail=detail)
        request = request.on_conflict(self.on_conflict)
        if self.once is not None:
            request = request.once(self.once)
        if self.settings is not None or self.role is not None:
            request = request.context(self.settings, role=self.role)
        if self.batches:
            request = request.batches(self.batches)
        if self.columns is not None:
            request = request.columns(*(name.strip() for name in self.columns.split(",")))
        return request if self.keys is None else request.keys(split_keys(self.keys))


def undo_execution(ledger: Ledger, terminal: Terminal, given: str, back: Back) -> ExitCode:
    """Undo an execution."""
    found = find(ledger.store, given)
    if found.kind != "execution":
        detail = f"{found.id} is itself an {found.kind}; to apply it again: action-ledger redo {found.id}"
        raise InvalidParameters(action="undo", detail=detail)
    execution = ledger.execution(found.id)
    request = back.narrow(execution.undo(by=back.by, reason=back.reason))
    with saying_how_on(terminal, execution):
        return _take_back(ledger, terminal, request, back)


def redo_undo(ledger: Ledger, terminal: Terminal, given: str, back: Back) -> ExitCode:
    """Redo an undo, or the newest undo of an execution of which something still stands."""
    found = find(ledger.store, given, newest=("undo",))
    if found.kind == "redo":
        detail = (
            f"{found.id} is itself a redo; to take it back: action-ledger undo {found.execution_id}"
        )
        raise InvalidParameters(action="redo", detail=detail)
    with saying_how_on(terminal, ledger.execution(found.execution_id)):
        if found.kind == "execution" or given.strip().lower() == LAST:
            # What the key has done already is answered again, though it left nothing more to be redone.
            found = redone_under(ledger.store, back.once, found.execution_id) or _newest_undo(
                ledger, found.execution_id
            )
        request = back.narrow(UndoHandle(ledger, found.id).redo(by=back.by, reason=back.reason))
        return _take_back(ledger, terminal, request, back)


def _newest_undo(ledger: Ledger, execution_id: UUID) -> Found:
    details = read_details(ledger.store, execution_id)
    if any(undo.ended_at is None for undo in details.undos):
        raise UndoInProgress(execution_id=execution_id)
    if details.redoable:
        return Found(details.redoable[-1].id, "undo", execution_id)
    reason = (
        "nothing of what its undos took back still stands"
        if details.undos
        else "it was never undone, so there is nothing to do again"
    )
    raise NothingToUndo(execution_id=execution_id, reason=reason)


def show_undo(terminal: Terminal, undo: UndoHandle, ledger: Ledger, *, limit: int = SHOWN) -> None:
    """Show what an undo or a redo did: what came back, what did not, and why."""
    view, counts = read_undo(ledger.store, undo.id), undo.progress()
    conflicts = read_outcome_counts(ledger.store, view.execution_id, undo.id)
    in_conflict = sum(count.records for count in conflicts if count.outcome == "conflict")
    failed = sum(count.records for count in conflicts if count.outcome == "failed") or view.failed
    terminal.say(
        Text.assemble(
            (f"{view.kind.capitalize()} ", "bold"), str(view.id), "  ", state(view.status)
        )
    )
    asked = clean(view.asked_by.told(contact_erased=view.contact_erased))
    terminal.say(f"  of execution {view.execution_id}, by {asked}, {ago(view.requested_at)}")
    done = "restored" if view.kind == "undo" else "done again"
    if view.columns:
        terminal.say(f"  only of {clean(', '.join(view.columns))}")
    terminal.say(tally(counts, applied=done, skipped=left(counts.skipped)))
    terminal.say(f"  {pace(counts)}")
    show_waits(terminal, blockers_of(undo, view.ended_at))
    _show_along(terminal, undo)
    for line in outcome_lines(conflicts):
        terminal.say(line, WARN)
    if view.error:
        terminal.say(f"  It failed: {view.error}", BAD)
    if excepted := undo.excepted:
        columns = ", ".join(excepted)
        terminal.say(f"  restored except for what a trigger writes: {columns}", WARN)
    if in_conflict:
        terminal.say(f"\nConflicts ({in_conflict:,}{_first(in_conflict, limit)})", "bold")
        shown = list(islice(undo.conflicts(), limit))
        conflicts_table(terminal, shown)
        for line in later_changes(ledger, view.execution_id, shown):
            terminal.say(line, WARN)
    for line in later_lines(later_than(ledger, view.execution_id, view.of_undo)):
        terminal.say(line, WARN)
    if failed:
        terminal.say(f"\nFailed ({failed:,}{_first(failed, limit)})", "bold")
        failures_table(terminal, islice(undo.failures(), limit))
    terminal.say()
    terminal.steps(_next_steps(undo, view, conflicts))


def _show_along(terminal: Terminal, undo: UndoHandle) -> None:
    """Say what became of rows of other tables."""
    for table, came in undo.children().items():
        rest = f", {came.behind:,} {left(came.behind)}" if came.behind else ""
        terminal.say(f"  and {came.applied:,} of {clean(table)}{rest}")
    for table, records in undo.reached().items():
        terminal.say(f"  and {records:,} of {clean(table)} went along")


def undo_as_json(ledger: Ledger, undo: UndoHandle, *, limit: int = SHOWN) -> dict[str, object]:
    """Give what an undo or a redo did as JSON values."""
    view = read_undo(ledger.store, undo.id)
    return {
        **view.model_dump(mode="json"),
        "outcomes": read_outcome_counts(ledger.store, view.execution_id, undo.id),
        "children": {table: tally.model_dump() for table, tally in undo.children().items()},
        "reached": undo.reached(),
        "excepted": undo.excepted,
        "conflicts": list(islice(undo.conflicts(), limit)),
        "skipped_records": list(islice(undo.skipped(), limit)),
        "failures": list(islice(undo.failures(), limit)),
        "later": later_than(ledger, view.execution_id, view.of_undo),
        "blocked_by": blockers_of(undo, view.ended_at),
    }


def _take_back(ledger: Ledger, terminal: Terminal, request: UndoRequest, back: Back) -> ExitCode:
    if back.preview:
        show_first(ledger, terminal, request, sample=back.sample, records=back.records)
        return ExitCode.DONE
    command = ledger.named(request.command())
    word = "undo" if command.of_undo is None else "redo"
    if not (back.confirmed or taken_in(ledger.store, command.command_id)):
        confirm_undo(ledger, terminal, request, word)
    undo = UndoHandle(ledger, command.command_id)
    if back.submit:
        ledger.handle(command)
        if terminal.as_json:
            terminal.give(read_undo(ledger.store, undo.id))
        else:
            show_waiting(terminal, undo, word.capitalize())
        return ExitCode.DONE
    finish(terminal, undo, word, start=lambda: ledger.handle(command), workers=back.workers)
    if terminal.as_json:
        terminal.give(undo_as_json(ledger, undo))
    else:
        show_undo(terminal, undo, ledger)
    view = read_undo(ledger.store, undo.id)
    behind = sum(tally.behind for tally in undo.children().values())
    counts = read_outcome_counts(ledger.store, view.execution_id, undo.id)
    whole = view.status == "completed" and not (view.failed or view.skipped or behind or counts)
    return ExitCode.DONE if whole else ExitCode.PARTLY


def _untouched(one: Outcome) -> bool:
    """Say whether some of a record in conflict is as the ledger left it, so that a merge brings it back."""
    recorded, current = one.recorded or {}, one.current or {}
    return any(name in current and current[name] == value for name, value in recorded.items())


def _first(number: int, limit: int) -> str:
    return f", the first {limit}" if number > limit else ""


def _next_steps(
    undo: UndoHandle, view: UndoView, outcomes: Iterable[OutcomeCount]
) -> Iterator[Step]:
    """Say what can be done now; only what would do something."""
    if view.ended_at is None:
        yield going_on(undo)
        return
    same = within(undo.ledger.execution(view.execution_id).context)
    if view.kind == "redo":
        if view.applied:
            yield _narrowed("Take it back again", _first_of(undo, view), (), same)
        return
    counts = {count.reason: count.records for count in outcomes if count.outcome == "conflict"}
    since = {"changed_since", "columns_changed_since"}
    if changed := sum(counts.get(reason, 0) for reason in since):
        first = list(islice((one for one in undo.conflicts() if one.reason in since), SHOWN))
        chosen = first if changed <= SHOWN else ()
        if any(_untouched(one) for one in first):
            merge = "Bring back what nobody changed of them"
            yield _narrowed(merge, view, chosen, ("--on-conflict", "merge", *same))
        force = "Overwrite the later changes all the same"
        yield _narrowed(force, view, chosen, ("--on-conflict", "force", *same))
    if counts.get("gone"):
        yield Step("A row that is gone cannot be set back, not even by force.")
    if counts.get("taken"):
        yield Step("A row whose key another has now cannot come back, not even by force.")
    if view.failed:
        failed = list(islice(undo.failures(), SHOWN)) if view.by_keys else []
        chosen = failed if view.failed <= SHOWN else ()
        yield _narrowed("Try the rest again", view, chosen, same)
    if view.applied:
        yield Step("Apply it again", ("redo", undo.id, *same), asks=True)


def _first_of(undo: UndoHandle, view: UndoView) -> UndoView:
    """Give the undo that a redo is of, or the redo itself where that was of less."""
    narrow = view.by_keys or view.columns or view.only_batches
    return view if narrow or view.of_undo is None else read_undo(undo.ledger.store, view.of_undo)


def _narrowed(
    why: str, view: UndoView, chosen: Iterable[Outcome], options: tuple[str, ...]
) -> Step:
    """Offer an undo of no more than one was of: some records of it, its batches, and its columns."""
    rows = list(chosen)
    # A row that went along comes back with its record, by whose key alone it can be asked for.
    keys = "" if any(one.table for one in rows) else keys_text(one.key for one in rows)
    if view.by_keys and not keys:
        given = f" with {' '.join(options)}" if options else ""
        return Step(f"{why}: undo {view.execution_id}{given} and the same --keys as before.")
    only = ("--columns", ",".join(view.columns)) if view.columns else ()
    batches = tuple(word for number in view.only_batches or () for word in ("--batch", number))
    some = ("--keys", keys) if keys else batches
    return Step(why, ("undo", view.execution_id, *some, *only, *options), asks=True)
