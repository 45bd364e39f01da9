"""Undoes and redoes what was named on the command line, and shows what came back and what did not."""

from dataclasses import dataclass
from itertools import islice

from rich.text import Text

from action_ledger.domain.errors import InvalidParameters, NothingToUndo
from action_ledger.domain.undo import ConflictPolicy, UndoStatus

from .cli_cards import outcome_lines, pace, past_tense, tally
from .cli_exit_codes import ExitCode
from .cli_lookup import Found, UndoView, find, read_details, read_outcome_counts, read_undo
from .cli_outcome_tables import conflicts_table, failures_table, key_text
from .cli_running import ask_first, finish
from .cli_terminal import BAD, QUIET, WARN, Terminal, ago, state
from .cli_wanted import split_keys
from .handles import UndoHandle, UndoRequest
from .ledger import Ledger

SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Back:
    """The options of an undo and of a redo."""

    by: str | None
    reason: str | None
    on_conflict: str
    batches: tuple[int, ...]
    keys: str | None
    workers: int
    submit: bool
    confirmed: bool

    def narrow(self, request: UndoRequest) -> UndoRequest:
        """Put the options into a request."""
        if self.on_conflict not in set(ConflictPolicy):
            detail = f"--on-conflict is one of {', '.join(ConflictPolicy)}, not {self.on_conflict}"
            raise InvalidParameters(action="undo", detail=detail)
        request = request.on_conflict(self.on_conflict)
        if self.batches:
            request = request.batches(self.batches)
        return request if self.keys is None else request.keys(split_keys(self.keys))


def undo_execution(ledger: Ledger, terminal: Terminal, given: str, back: Back) -> ExitCode:
    """Undo an execution."""
    found = find(ledger.store, given)
    if found.kind != "execution":
        detail = f"{found.id} is itself an {found.kind}; to apply it again: action-ledger redo {found.id}"
        raise InvalidParameters(action="undo", detail=detail)
    execution = ledger.execution(found.id)
    request = back.narrow(execution.undo(by=back.by, reason=back.reason))
    return _take_back(ledger, terminal, found, request, back)


def redo_undo(ledger: Ledger, terminal: Terminal, given: str, back: Back) -> ExitCode:
    """Redo an undo, or the newest undo of an execution."""
    found = find(ledger.store, given, newest=("undo",))
    if found.kind == "redo":
        detail = (
            f"{found.id} is itself a redo; to take it back: action-ledger undo {found.execution_id}"
        )
        raise InvalidParameters(action="redo", detail=detail)
    if found.kind == "execution":
        undos = [undo for undo in read_details(ledger.store, found.id).undos if undo.kind == "undo"]
        if not undos:
            raise NothingToUndo(execution_id=found.id)
        found = Found(undos[-1].id, "undo", found.id)
    request = back.narrow(UndoHandle(ledger, found.id).redo(by=back.by, reason=back.reason))
    return _take_back(ledger, terminal, found, request, back)


def show_undo(terminal: Terminal, undo: UndoHandle, ledger: Ledger, *, limit: int = SHOWN) -> None:
    """Show what an undo or a redo did: what came back, what did not, and why."""
    view, counts = read_undo(ledger.store, undo.id), undo.progress()
    conflicts = read_outcome_counts(ledger.store, view.execution_id, undo.id)
    left = sum(count.records for count in conflicts if count.outcome == "conflict")
    terminal.say(
        Text.assemble(
            (f"{view.kind.capitalize()} ", "bold"), str(view.id), "  ", state(view.status)
        )
    )
    terminal.say(f"  of execution {view.execution_id}, by {view.actor}, {ago(view.requested_at)}")
    done = "restored" if view.kind == "undo" else "done again"
    terminal.say(tally(counts, applied=done, skipped="left as they are"))
    terminal.say(f"  {pace(counts)}")
    for line in outcome_lines(conflicts):
        terminal.say(line, WARN)
    if view.error:
        verb = "was refused" if view.status == UndoStatus.REJECTED else "failed"
        terminal.say(f"  It {verb}: {view.error}", BAD)
    if excepted := undo.excepted:
        columns = ", ".join(excepted)
        terminal.say(f"  restored except for what a trigger writes: {columns}", WARN)
    if left and limit:
        terminal.say(f"\nConflicts ({left:,}{_first(left, limit)})", "bold")
        conflicts_table(terminal, islice(undo.conflicts(), limit))
    if view.failed and limit:
        terminal.say(f"\nFailed ({view.failed:,}{_first(view.failed, limit)})", "bold")
        failures_table(terminal, islice(undo.failures(), limit))
    terminal.say()
    for line in _next_steps(undo, view, left):
        terminal.say(line, QUIET)


def undo_as_json(ledger: Ledger, undo: UndoHandle, *, limit: int = SHOWN) -> dict[str, object]:
    """Give what an undo or a redo did as JSON values."""
    view = read_undo(ledger.store, undo.id)
    return {
        **view.model_dump(mode="json"),
        "outcomes": read_outcome_counts(ledger.store, view.execution_id, undo.id),
        "excepted": undo.excepted,
        "conflicts": list(islice(undo.conflicts(), limit)),
        "skipped_records": list(islice(undo.skipped(), limit)),
        "failures": list(islice(undo.failures(), limit)),
    }


def _take_back(
    ledger: Ledger, terminal: Terminal, found: Found, request: UndoRequest, back: Back
) -> ExitCode:
    command = request.command()
    word = "undo" if command.of_undo is None else "redo"
    if not back.confirmed:
        _confirm(ledger, terminal, found, back, word)
    undo = UndoHandle(ledger, command.command_id)
    if back.submit:
        ledger.handle(command)
        if terminal.as_json:
            terminal.give(read_undo(ledger.store, undo.id))
        else:
            name = word.capitalize()
            terminal.say(f"{name} {undo.id} waits for the workers: action-ledger worker")
        return ExitCode.DONE
    finish(terminal, undo, word, start=lambda: ledger.handle(command), workers=back.workers)
    if terminal.as_json:
        terminal.give(undo_as_json(ledger, undo))
    else:
        show_undo(terminal, undo, ledger)
    view = read_undo(ledger.store, undo.id)
    whole = view.status == "completed" and not view.failed and not view.skipped
    return ExitCode.DONE if whole else ExitCode.PARTLY


def _confirm(ledger: Ledger, terminal: Terminal, found: Found, back: Back, word: str) -> None:
    """Ask on a terminal. In a script only what overwrites other people's changes has to be confirmed."""
    if terminal.can_ask() and not terminal.as_json:
        view = read_details(ledger.store, found.execution_id).execution
        terminal.say(
            f"{view.action} of {view.table} by {view.actor}, {ago(view.requested_at)}: "
            f"{view.applied:,} records {past_tense(view.action)}"
        )
    elif back.on_conflict != ConflictPolicy.FORCE:
        return
    reason = "with --on-conflict force it overwrites later changes, and there is nobody to ask"
    ask_first(terminal, f"{word.capitalize()} it?", action=word, reason=reason)


def _first(number: int, limit: int) -> str:
    return f", the first {limit}" if number > limit else ""


def _next_steps(undo: UndoHandle, view: UndoView, left: int) -> list[str]:
    execution_id = view.execution_id
    if view.kind == "redo":
        return [f"To take it back again: action-ledger undo {execution_id}"] if view.applied else []
    steps: list[str] = []
    if view.failed:
        steps += [f"To try the rest again: action-ledger undo {execution_id}"]
    if left:
        shown = [key_text(one.key) for one in islice(undo.conflicts(), 3)]
        keys = ",".join(shown) if left <= len(shown) else ",".join([shown[0], "..."])
        steps += [
            "To overwrite some of them all the same:",
            f"  action-ledger undo {execution_id} --keys {keys} --on-conflict force",
        ]
    if view.applied:
        steps += [f"To apply it again: action-ledger redo {undo.id}"]
    return steps
