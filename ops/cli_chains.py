"""Runs, shows and steers chains that were named on the command line."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.text import Text
from uuid_utils.compat import uuid7

from action_ledger.domain.actor import Asker
from action_ledger.domain.chain import ChainStatus
from action_ledger.domain.chain_commands import RequestChain
from action_ledger.domain.errors import (
    ChainNotFound,
    ConfirmationRequired,
    InvalidChain,
    InvalidParameters,
)
from action_ledger.domain.findings import wrong_fields
from action_ledger.workers.chain_move import STEP_FAILED
from action_ledger.workers.open_chain import ChainBody

from .chain_handles import ChainHandle
from .chain_views import SQL, ChainStepView, ChainView
from .checks import check_actor
from .cli_exit_codes import ExitCode
from .cli_hints import Step, within
from .cli_lookup import find_row
from .cli_terminal import BAD, QUIET, WARN, Terminal, ago, clean, many, state
from .cli_wanted import read_json
from .ledger import Ledger
from .roster import read_workers


def run_chain(
    ledger: Ledger,
    terminal: Terminal,
    source: str,
    *,
    by: Asker | None,
    reason: str | None,
    once: str | None,
    workers: int,
    submit: bool,
    confirmed: bool,
) -> ExitCode:
    """Run the steps that a file says. Raises ConfirmationRequired where nobody can be asked about what destroys."""
    command = read_command(source, by=by, reason=reason, once=once)
    actions = {step.execution.action for step in command.steps}
    destructive = sorted(name for name in actions if ledger.actions.get(name).destructive)
    if destructive:
        what = ", ".join(destructive)
        _confirm(terminal, f"Steps of this chain {what} records. Go on?", what, confirmed=confirmed)
    try:
        handle = ledger.chain(ledger.handle(command))
    except InvalidParameters as error:
        raise error from None  # what is wrong stands in the file, and in no option
    return _see_through(terminal, handle, workers=workers, submit=submit)


class _WrittenStep(BaseModel):
    """A step as somebody writes it; what else stands in it is checked with the command."""

    model_config = ConfigDict(extra="allow")

    execution: dict[str, Any]


class _Written(BaseModel):
    """A chain as somebody writes it: the command without ids, actors and reasons."""

    model_config = ConfigDict(extra="allow")

    steps: list[_WrittenStep]


def read_command(
    source: str, *, by: Asker | None, reason: str | None, once: str | None = None
) -> RequestChain:
    """Read a chain's command; ids and actors are filled in. Raises InvalidChain and UnreadableInput."""
    check_actor(by)
    said = read_json(source, "the chain")
    told = {"command_id": uuid7(), "actor": by, "reason": reason, "once": once}
    try:
        written = _Written.model_validate(said)
        for step in written.steps:
            step.execution = {"command_id": uuid7(), "actor": by, **step.execution}
        return RequestChain.model_validate({**told, **written.model_dump()})
    except ValidationError as error:
        raise InvalidChain(detail=wrong_fields(error)) from error


def list_chains(terminal: Terminal, found: list[ChainView]) -> None:
    """List chains."""
    if terminal.as_json:
        terminal.give(found)
        return
    if not found:
        terminal.say("There is no chain. Begin with: action-ledger chain --help")
        return
    rows = (
        (view.id, state(view.status), _progress(view), clean(view.actor), ago(view.requested_at))
        for view in found
    )
    terminal.table(("ID", "STATUS", "STEPS", "BY", "ASKED"), rows, whole=("ID", "STATUS"))


def show_chain(terminal: Terminal, handle: ChainHandle) -> None:
    """Show a chain and its steps."""
    view, steps = handle.view(), handle.steps()
    with handle.ledger.store.transaction() as transaction:
        body = ChainBody.read(transaction, handle.id)
        trying = transaction.execute(SQL["trying"], {"id": handle.id}).fetchone()
    broke = next((step for step in reversed(steps) if _broke(step)), None)
    if terminal.as_json:
        found = {**view.model_dump(mode="json"), "reason": body.reason, "trying": trying}
        terminal.give({**found, "step_list": steps})
        return
    terminal.say(Text.assemble(("Chain ", "bold"), str(view.id), "  ", state(view.status)))
    terminal.facts(
        (
            ("asked for by", view.actor),
            ("reason", body.reason),
            ("steps", _progress(view)),
            ("error", None if view.error is None else _cause(handle.ledger, view.error, broke)),
            ("not taken back", many(view.kept_back, "record") if view.kept_back else None),
            ("in trouble", _trouble(trying)),
        )
    )
    rows = (
        (
            step.number,
            state(step.status),
            f"{step.action} of {step.table}",
            _records(step),
            step.on_failure,
            step.execution_id if step.total is not None else "",
        )
        for step in steps
    )
    headers = ("STEP", "STATUS", "ACTION", "RECORDS", "IF IT FAILS", "EXECUTION")
    terminal.table(headers, rows, whole=("STATUS", "EXECUTION"))
    if view.error is not None and broke is not None and broke.total is not None:
        see = f"See what came of step {broke.number}, and how to go on with it"
        terminal.steps([Step(see, ("show", broke.execution_id))])
    if view.status == ChainStatus.FAILED and any(step.applied for step in steps):
        undo = ("chains", "undo", view.id, *within(body.context))
        terminal.steps([Step("Take back what its steps did", undo, asks=True)])


def steer(
    ledger: Ledger, terminal: Terminal, given: str, act: Callable[[ChainHandle], None]
) -> None:
    """Do something to a chain, and say how it stands then."""
    handle = find_chain(ledger, given)
    act(handle)
    if terminal.as_json:
        terminal.give(handle.view())
    else:
        terminal.say(Text.assemble(f"Chain {handle.id} is ", state(handle.status), "."))


def undo_chain(
    ledger: Ledger,
    terminal: Terminal,
    given: str,
    *,
    by: Asker | None,
    reason: str | None,
    settings: dict[str, str] | None,
    role: str | None,
    workers: int,
    submit: bool,
    confirmed: bool,
) -> ExitCode:
    """Take a chain back. On a terminal it is asked first; in a script it has been said."""
    handle = find_chain(ledger, given)
    check_actor(by)
    if terminal.can_ask():
        question = f"Take back what {many(handle.view().step, 'step')} did?"
        _confirm(terminal, question, "undo", confirmed=confirmed)
    handle.undo(by=by, reason=reason, context=settings, role=role)
    return _see_through(terminal, handle, workers=workers, submit=submit)


def find_chain(ledger: Ledger, given: str) -> ChainHandle:
    """Find a chain by its whole id, its beginning or its end, or as ``last``.

    Raises:
        ChainNotFound: There is none.
        AmbiguousId: There are several.
    """
    with ledger.store.transaction() as transaction:
        row = find_row(transaction, SQL, given)
    if row is None:
        raise ChainNotFound(chain_id=given)
    return ChainHandle(ledger, row["id"])


def _confirm(terminal: Terminal, question: str, what: str, *, confirmed: bool) -> None:
    if confirmed or (terminal.can_ask() and terminal.ask(question)):
        return
    raise ConfirmationRequired(action=what, reason="nobody said yes to it")


def _see_through(
    terminal: Terminal, handle: ChainHandle, *, workers: int, submit: bool
) -> ExitCode:
    """Work on it until it has ended, and show it; or leave it to the workers."""
    if not submit:
        handle.finish(workers=workers)
        handle.ledger.hooks.deliver()
    show_chain(terminal, handle)
    if submit:
        if not any(worker.alive for worker in read_workers(handle.ledger.store)):
            terminal.say("No worker is there to move it on: action-ledger worker", QUIET)
        return ExitCode.DONE
    view = handle.view()
    good = view.status == ChainStatus.COMPLETED and not view.failed
    undone = view.status == ChainStatus.COMPENSATED and view.error is None and not view.kept_back
    return ExitCode.DONE if good or undone else ExitCode.PARTLY


def _progress(view: ChainView) -> Text:
    text = Text(f"{view.completed + view.failed} of {view.steps}")
    if view.failed:
        text.append(f", {view.failed} failed", BAD)
    if view.kept_back:
        text.append(f", {many(view.kept_back, 'record')} not taken back", WARN)
    return text


def _broke(step: ChainStepView) -> bool:
    return step.status in {"failed", "refused", "cancelled"} or bool(step.failed)


def _cause(ledger: Ledger, error: str, step: ChainStepView | None) -> Text:
    """Say why a chain failed: which step, and the error of its execution or of the first record in it."""
    if step is None:
        return Text(error, BAD)
    cause = step.error or (error if error != STEP_FAILED else step.execution_status) or error
    if step.failed:
        first = next(ledger.execution(step.execution_id).failures(), None)
        records = f"{many(step.failed, 'record')} failed"
        code = first and f", the first with {first.sqlstate or first.reason}"
        cause = f"{records}{code or ''}{': ' + first.message if first and first.message else ''}"
    return Text(clean(f"step {step.number}, {step.action} of {step.table}: {cause}"), BAD)


def _records(step: ChainStepView) -> Text:
    if step.total is None:
        return Text(step.error or "", BAD)
    text = Text(f"{step.applied or 0:,} of {step.total:,}")
    if step.skipped:
        text.append(f", {step.skipped:,} skipped", WARN)
    if step.failed:
        text.append(f", {step.failed:,} failed", BAD)
    if step.error:
        text.append(f", {step.error}", BAD)
    return text


def _trouble(trying: dict[str, Any] | None) -> Text | None:
    if trying is None:
        return None
    times, again = many(trying["attempts"], "time"), ago(trying["available_at"])
    return Text(f"tried {times}, {trying['last_error']}; again {again}", WARN)
