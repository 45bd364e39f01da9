"""`action-ledger hooks`: what hooks are still to be told, what they failed at, and to try that again."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="Deliveries to hooks: list, retry.",
        no_args_is_help=True,
    )
    group.command("list")(list_)
    group.command("retry")(retry)
    app.add_typer(group, name="hooks")


def list_(
    context: typer.Context,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what a hook has failed at.")
    ] = False,
    limit: option.Limit = 20,
    _json: option.Json = False,
) -> None:
    """List what is still to be told, the oldest news first."""
    from .cli_hooks import list_deliveries

    state = state_of(context)
    with state.ledger() as ledger:
        list_deliveries(state.terminal(), ledger.hooks.deliveries(failed=failed, limit=limit))


def retry(
    context: typer.Context,
    hook: Annotated[
        str | None, typer.Argument(metavar="HOOK", help="Its name; all hooks without.")
    ] = None,
    _json: option.Json = False,
) -> None:
    """Let what a hook has failed at be tried at once, by the workers that know it."""
    from .cli_hooks import say_retried

    state = state_of(context)
    with state.ledger() as ledger:
        say_retried(state.terminal(), ledger.hooks.retry(hook))
