"""What can be done now with an execution: only what would not be refused."""

from collections.abc import Iterator

from action_ledger.domain.execution import ExecutionStatus

from .cli_hints import Step
from .cli_lookup import Details
from .cli_terminal import ago, many, moment


def next_steps(details: Details) -> Iterator[Step]:
    """Say what can be done now; only what would not be refused."""
    view = details.execution
    status = ExecutionStatus(view.status)
    if not status.ended:
        if status is ExecutionStatus.PAUSED:
            yield Step("Let it go on", ("resume", view.id), asks=True)
        else:
            yield Step("Workers go on with it", ("worker", "--until-idle"))
        yield Step("Stop it for good; what is done can then be undone", ("cancel", view.id), True)
        return
    if view.failed:
        yield Step("Try what failed again", ("retry", view.id), asks=True)
    if view.pending:
        again = ("retry", view.id, "--only-not-processed")
        yield Step("Do what was not processed", again, asks=True)
    if view.applied and status is not ExecutionStatus.ROLLED_BACK:
        yield from _ways_back(details)


def _ways_back(details: Details) -> Iterator[Step]:
    """Say how it can be undone, as far as it is not, and done again, as far as it is undone."""
    view = details.execution
    for undo in details.undos:
        if undo.ended_at is None:
            yield Step(f"The {undo.kind} {undo.id} is at work", ("watch", undo.id))
            yield Step("Workers go on with it", ("worker", "--until-idle"))
            return
    newest = details.undos[-1] if details.undos else None
    refused = newest.skipped + newest.failed if newest and newest.kind == "undo" else 0
    if newest and refused:
        yield Step(f"See what the undo left as it is ({refused:,}), and why", ("show", newest.id))
    if not details.reversible:
        yield Step("It was asked for as irreversible and cannot be undone.")
        return
    if details.undo_expired:
        yield Step("Its undo window has passed.")
        return
    for undo in details.redoable:
        again = f"Apply again the {many(details.standing[undo.id], 'record')} undone {ago(undo.requested_at)}"
        yield Step(again, ("redo", undo.id), asks=True)
    rest = view.applied - view.undone - refused
    if rest > 0 and details.undo_until is not None:
        what = f"the other {rest:,}" if view.undone else "it"
        until = moment(details.undo_until)
        yield Step(f"Undo {what} until {until}", ("undo", view.id), asks=True)
    if others := _other_columns(details):
        only = ("undo", view.id, "--columns", ",".join(others))
        yield Step("Undo the columns that no undo was of", only, asks=True)


def _other_columns(details: Details) -> list[str]:
    """Name the columns of an update that were left when others were taken back, if there are any."""
    undone = [undo.columns for undo in details.redoable]
    if not undone or None in undone:
        return []
    named = {name for columns in undone for name in columns or ()}
    return [name for name in details.parameters.get("values", {}) if name not in named]
