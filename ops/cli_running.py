"""Runs what was asked for on the command line: counts, asks, works with a bar, and says what came of it."""

from collections.abc import Callable, Sequence
from functools import partial

import typer

from action_ledger.domain.errors import ConfirmationRequired, ExecutionNotFound
from action_ledger.domain.selection import Everything, Keys

from .builder import Request
from .cli_bars import watching
from .cli_cards import past_tense, show_result, tally
from .cli_exit_codes import ExitCode
from .cli_export_lists import show_written
from .cli_hints import Step
from .cli_lookout import looking_on
from .cli_lookup import read_details, read_undo
from .cli_next_steps import after_interruption, show_waiting, who_goes_on, workers_of
from .cli_preview_card import show_preview, show_token
from .cli_state import say_error
from .cli_terminal import WARN, Terminal, many
from .cli_wanted import Wanted
from .handle import Handle
from .handles import ExecutionHandle, UndoHandle
from .ledger import Ledger
from .progress import Progress
from .roster import WorkerView

SAMPLE = 5


def run_wanted(
    ledger: Ledger,
    terminal: Terminal,
    wanted: Wanted,
    *,
    workers: int,
    submit: bool,
    confirmed: bool,
    token: str | None = None,
) -> ExitCode:
    """Run what was typed. Raises ConfirmationRequired where nobody can be asked."""
    request = wanted.request(ledger)
    return run_request(
        ledger,
        terminal,
        request if token is None else request.confirm(token),
        # A preview reads the keys: of those that come once, the run needs a reading of its own.
        again=lambda: wanted.request(ledger),
        workers=workers,
        submit=submit,
        confirmed=confirmed or token is not None,
    )


def run_request(
    ledger: Ledger,
    terminal: Terminal,
    request: Request,
    *,
    again: Callable[[], Request] | None = None,
    workers: int,
    submit: bool,
    confirmed: bool,
) -> ExitCode:
    """Run a request, or leave it to the workers. ``again`` gives another one like it, to look at before.

    Unless it is ``confirmed`` the command line has its own say about what is to be. Raises ConfirmationRequired.
    """
    run = partial(_run, ledger, terminal, workers=workers, submit=submit)
    again = again or (lambda: request)
    if not confirmed:
        policy = ledger.settings.cli_confirmation
        ledger.ask_to_confirm(policy)
        destructive = ledger.actions.get(request.options["action"]).destructive
        # In a script --all has been said, and there is nobody to ask; a slip of the hand happens on a terminal.
        everything = isinstance(request.target.selection, Everything)
        if (everything or policy.wants(destructive=destructive)) and terminal.can_ask():
            return run(again().confirm(confirm(terminal, again)))
    try:
        return run(request)
    except ConfirmationRequired:
        if confirmed or not terminal.can_ask():
            raise
    return run(again().confirm(confirm(terminal, again)))


def _run(
    ledger: Ledger, terminal: Terminal, request: Request, *, workers: int, submit: bool
) -> ExitCode:
    command = ledger.named(request.command())
    execution = ExecutionHandle(ledger, command.command_id)
    if submit:
        ledger.handle(command, keys=request.target.streamed)
        return _submitted(ledger, terminal, execution)
    finish(
        terminal,
        execution,
        command.action,
        start=lambda: ledger.handle(command, now=True, keys=request.target.streamed),
        workers=workers,
    )
    details = read_details(ledger.store, execution.id)
    if terminal.as_json:
        terminal.give(details.execution)
    else:
        show_result(terminal, details, execution)
        if details.execution.action == "export":
            show_written(terminal, execution.export())
    if details.execution.status == "paused":
        terminal.note("Somebody paused it.", WARN)
    if ledger.hooks.concern(command):
        ledger.hooks.deliver()
    whole = details.execution.status == "completed" and not details.execution.failed
    missing = isinstance(command.selection, Keys) and any(
        count.reason == "vanished" for count in details.outcomes
    )
    return ExitCode.DONE if whole and not missing else ExitCode.PARTLY


def preview_wanted(
    ledger: Ledger, terminal: Terminal, wanted: Wanted, *, sample: int, records: int | None
) -> None:
    """Show what would be changed, and the token that confirms it."""
    request = wanted.request(ledger)
    found = request.preview(sample, records=records)
    if terminal.as_json:
        terminal.give(found)
    else:
        show_preview(terminal, request, found)
        show_token(terminal, found)


def finish(
    terminal: Terminal,
    handle: Handle,
    label: str,
    *,
    start: Callable[[], object],
    workers: int,
) -> None:
    """Start something and work on it to its end, with a bar. On Ctrl-C say what is done and how to go on."""
    try:
        with watching(terminal, label) as bar, looking_on(terminal, handle, bar.blocked):
            start()
            handle.finish(workers=workers, watch=bar.watch)
    except KeyboardInterrupt:
        _interrupted(terminal, handle, label)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def ask_first(terminal: Terminal, question: str, *, action: str, reason: str) -> None:
    """Ask for a yes. Raises ConfirmationRequired where nobody can be asked, and leaves after a no."""
    if not terminal.can_ask():
        raise ConfirmationRequired(action=action, reason=reason)
    if not terminal.ask(question):
        terminal.note("Nothing was changed.")
        raise typer.Exit(ExitCode.UNCONFIRMED)


def confirm(terminal: Terminal, again: Callable[[], Request]) -> str:
    """Show what an action would do now, ask for its name, and give the preview's token.

    Raises ConfirmationRequired where nobody can be asked, and leaves after another word.
    """
    request = again()
    action = request.options["action"]
    if not terminal.can_ask():
        reason = "there is nobody to ask, and `action-ledger preview` shows what it would change"
        raise ConfirmationRequired(action=action, reason=reason)
    found = request.preview(SAMPLE)
    if found.count:
        show_preview(terminal, request, found)
        what = f"{action.capitalize()} {many(found.count, 'record')} of {found.table}?"
        if not terminal.ask_for(action, what):
            terminal.note("Nothing was changed.")
            raise typer.Exit(ExitCode.UNCONFIRMED)
    return found.token


def _submitted(ledger: Ledger, terminal: Terminal, execution: ExecutionHandle) -> ExitCode:
    if terminal.as_json:
        terminal.give(read_details(ledger.store, execution.id).execution)
    else:
        show_waiting(terminal, execution, "Execution")
    return ExitCode.DONE


def _interrupted(terminal: Terminal, handle: Handle, label: str) -> None:
    try:
        counts: Progress = handle.progress()
    except ExecutionNotFound:
        nothing = "Interrupted before anything was recorded: nothing was changed."
        terminal.note(nothing, WARN)
        if terminal.as_json:
            say_error({"code": "interrupted", "message": nothing}, as_json=True)
        return
    goes_on = counts.status not in handle.ended and (counts.pending or not counts.total_final)
    workers = workers_of(handle) if goes_on else []
    kept = "Interrupted. Every batch that was done is done and recorded; nothing is lost."
    told = f"{kept} {_what_now(workers)}" if goes_on else kept
    if terminal.as_json:
        store = handle.ledger.store
        undone = isinstance(handle, UndoHandle)
        terminal.give(
            read_undo(store, handle.id) if undone else read_details(store, handle.id).execution
        )
        names = [worker.name for worker in workers]
        say_error({"code": "interrupted", "message": told, "workers": names}, as_json=True)
        return
    applied = "restored" if isinstance(handle, UndoHandle) else past_tense(label)
    terminal.note(told, WARN)
    terminal.note(tally(counts, applied=applied))
    see = Step("See how it stands", ("show", handle.id))
    terminal.steps(after_interruption(handle, workers) if goes_on else [see], beside=True)


def _what_now(workers: Sequence[WorkerView]) -> str:
    if workers:
        return f"But it is not stopped: {who_goes_on(workers)}."
    return "No worker is there for its queue, so nobody goes on with it."
