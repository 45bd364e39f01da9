"""`action-ledger inbox`: commands that hosts sent in their own transactions and that are not in the ledger yet, or never."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inbox")(inbox)


def inbox(
    context: typer.Context,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Only those that were turned away.")
    ] = False,
    limit: option.Limit = 20,
    _json: option.Json = False,
) -> None:
    """List commands that wait to be taken in, and those that were rejected, with the reason.

    They were sent in a transaction of the host's. Workers take them in.
    """
    from .cli_inbox_list import list_inbox

    state = state_of(context)
    with state.ledger() as ledger:
        list_inbox(state.terminal(), ledger.inbox.entries(rejected=rejected, limit=limit))
