"""`action-ledger projections`: where the views stand, building them anew from the events, and comparing them."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Some views only; all if none is named."),
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Views: status, rebuild, verify.", no_args_is_help=True)
    group.command("status")(status)
    group.command("rebuild")(rebuild)
    group.command("verify")(verify)
    app.add_typer(group, name="projections")


def status(context: typer.Context, _json: option.Json = False) -> None:
    """Show where each view stands: inline ones are never behind, the others follow."""
    from .cli_views_upkeep import show_status

    state = state_of(context)
    with state.ledger() as ledger:
        show_status(ledger, state.terminal())


def rebuild(context: typer.Context, names: Names = None, _json: option.Json = False) -> None:
    """Build views anew from the first event, beside the live ones, and switch to them. Nobody waits for it."""
    from .cli_views_upkeep import run_rebuild

    state = state_of(context)
    with state.ledger() as ledger:
        run_rebuild(ledger, state.terminal(), names or ())


def verify(context: typer.Context, names: Names = None, _json: option.Json = False) -> None:
    """Compare the live views with what the events make of them. Exit code 1 when one differs."""
    from .cli_views_upkeep import run_verify

    state = state_of(context)
    with state.ledger() as ledger:
        code = run_verify(ledger, state.terminal(), names or ())
    raise typer.Exit(code)
