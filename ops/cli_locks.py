"""`action-ledger locks`: who has which records for himself, and taking them away from an execution."""

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the command and the one below it."""
    group = typer.Typer(help="Record locks: who has or awaits what; break.")
    group.callback(invoke_without_command=True)(locks)
    group.command("break")(break_)
    app.add_typer(group, name="locks")


def locks(context: typer.Context, _json: option.Json = False) -> None:
    """List who has which records for himself, and who waits for them; the oldest first.

    \b
    action-ledger locks
    action-ledger locks break last --by user:42 --reason "it hangs"
    """
    if context.invoked_subcommand is not None:
        return
    from .cli_locking import list_locks

    state = state_of(context)
    with state.ledger() as ledger:
        list_locks(state.terminal(), ledger.locks())


def break_(
    context: typer.Context,
    execution: option.Id,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Take its records away from an execution, which has failed then.

    Batches at work are given up. What is done stays done, and can be undone.
    """
    from .cli_steering import steer_execution

    state = state_of(context)
    with state.ledger() as ledger:
        steer_execution(
            ledger, state.terminal(), execution, "break_lock", by=by, reason=reason, options={}
        )
