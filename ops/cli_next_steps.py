"""What can be done now about an execution or an undo: commands to go on with, by who works on it already."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from action_ledger.domain.errors import ExecutionNotEnded, UndoInProgress
from action_ledger.domain.execution import ExecutionStatus

from .cli_hints import Step, within
from .cli_lookout import is_looked_on
from .cli_lookup import Details, read_details
from .cli_terminal import Terminal, ago, clean, many, moment
from .handle import Handle
from .handles import ExecutionHandle, UndoHandle
from .roster import WorkerView, read_serving

NAMED = 3
"""So many workers are named; the roster lists the rest."""
CANCEL = "Stop it for good; what is done can then be undone"


def next_steps(details: Details, execution: ExecutionHandle) -> Iterator[Step]:
    """Say what can be done now; only what would not be refused."""
    view = details.execution
    status = ExecutionStatus(view.status)
    if not status.ended:
        if status is ExecutionStatus.PAUSED:
            yield Step("Let it go on", ("resume", view.id), asks=True)
        else:
            yield going_on(execution)
        yield Step(CANCEL, ("cancel", view.id), asks=True)
        return
    same = within(details.context)
    if view.failed and details.retried:
        yield Step("What failed was tried again", ("show", details.retried))
    elif view.failed:
        yield Step("Try what failed again", ("retry", view.id, *same), asks=True)
    if view.pending and details.gone_on:
        yield Step("What was not processed was done by another", ("show", details.gone_on))
    elif view.pending:
        again = ("retry", view.id, "--only-not-processed", *same)
        yield Step("Do what was not processed", again, asks=True)
    if view.applied and status is not ExecutionStatus.ROLLED_BACK:
        yield from _ways_back(details, execution)


def _ways_back(details: Details, execution: ExecutionHandle) -> Iterator[Step]:
    """Say how it can be undone, as far as it is not, and done again, as far as it is undone."""
    view = details.execution
    for undo in details.undos:
        if undo.ended_at is None:
            yield Step(f"The {undo.kind} {undo.id} has not ended.")
            yield going_on(UndoHandle(execution.ledger, undo.id))
            return
    newest = details.undos[-1] if details.undos else None
    refused = newest.skipped + newest.failed if newest and newest.kind == "undo" else 0
    if newest and refused:
        yield Step(f"See what the undo left as it is ({refused:,}), and why", ("show", newest.id))
    if not details.reversible:
        yield Step(f"There is no way back: {details.irreversible}.")
        return
    if details.undo_expired:
        yield Step("Its undo window has passed.")
        return
    same = within(details.context)
    for undo in details.redoable:
        again = f"Apply again the {many(details.standing[undo.id], 'record')} undone {ago(undo.requested_at)}"
        yield Step(again, ("redo", undo.id, *same), asks=True)
    rest = view.applied - view.undone - refused
    if rest > 0 and details.undo_until is not None:
        what = f"the other {rest:,}" if view.undone else "it"
        until = moment(details.undo_until)
        yield Step(f"Undo {what} until {until}", ("undo", view.id, *same), asks=True)
    if others := _other_columns(details):
        only = ("undo", view.id, "--columns", ",".join(others), *same)
        yield Step("Undo the columns that no undo was of", only, asks=True)


def _other_columns(details: Details) -> list[str]:
    """Name the columns of an update that were left when others were taken back, if there are any."""
    undone = [undo.columns for undo in details.redoable]
    if not undone or None in undone:
        return []
    named = {name for columns in undone for name in columns or ()}
    return [name for name in details.parameters.get("values", {}) if name not in named]


def workers_of(handle: Handle) -> list[WorkerView]:
    """List the living workers that serve its queue."""
    return read_serving(handle.ledger.store, handle.row()["queue"])


def who_goes_on(workers: Sequence[WorkerView]) -> str:
    """Say which workers go on with something."""
    names = [clean(worker.name) for worker in workers[:NAMED]]
    names += ["..."] if len(workers) > NAMED else []
    verb = "goes" if len(workers) == 1 else "go"
    return f"{many(len(workers), 'worker')} {verb} on with it ({', '.join(names)})"


def going_on(handle: Handle) -> Step:
    """Say how something open comes to its end: by the workers that are there, or by one to be started."""
    if workers := workers_of(handle):
        return Step(who_goes_on(workers), ("watch", handle.id))
    if is_looked_on(handle):
        return Step("Another command line is at work on it", ("watch", handle.id))
    return Step("No worker is there for it; be one until all is done", ("worker", "--until-idle"))


@contextmanager
def saying_how_on(terminal: Terminal, execution: ExecutionHandle) -> Generator[None]:
    """Say, where this block is refused since something of an execution is open, how that comes to its end."""
    try:
        yield
    except (ExecutionNotEnded, UndoInProgress):
        undos = read_details(execution.ledger.store, execution.id).undos
        open_ones = [undo.id for undo in undos if undo.ended_at is None]
        job = UndoHandle(execution.ledger, open_ones[-1]) if open_ones else execution
        if open_ones or job.status != ExecutionStatus.PAUSED:
            terminal.steps([going_on(job)], beside=True)
        raise


def after_interruption(handle: Handle, workers: Sequence[WorkerView]) -> Iterator[Step]:
    """Say what can be done about what was interrupted and is still open."""
    steers = isinstance(handle, ExecutionHandle)
    if steers:
        yield Step(CANCEL, ("cancel", handle.id), asks=True)
    if not workers:
        yield Step("Go on with the rest", ("worker", "--until-idle"))
        yield Step("See how it stands", ("show", handle.id))
        return
    if steers:
        yield Step("Hold it, until it is resumed", ("pause", handle.id), asks=True)
    yield Step("Watch it", ("watch", handle.id))


def show_waiting(terminal: Terminal, handle: Handle, what: str) -> None:
    """Say that something waits for the workers, and whether one is there."""
    terminal.say(f"{what} {handle.id} waits for the workers.")
    terminal.steps([going_on(handle), Step("See how it goes", ("show", handle.id))])
