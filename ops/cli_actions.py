"""`action-ledger actions`: which actions there are, and what each takes."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("actions")(actions)


def actions(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this one, with its parameters.")
    ] = None,
    _json: option.Json = False,
) -> None:
    """List the actions, those of your own (--app) among them; or show one.

    \b
    action-ledger --app shop.ledger:ledger actions promote
    """
    from .cli_action_tables import list_actions, show_action

    state = state_of(context)
    with state.ledger() as ledger:
        if name is None:
            list_actions(state.terminal(), ledger.actions)
        else:
            show_action(state.terminal(), ledger.actions.get(name))
