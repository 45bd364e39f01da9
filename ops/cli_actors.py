"""`action-ledger actors`: what is kept of from where people asked: its erasure, and whether it is what it was."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Contact data of actors: erase, verify.", no_args_is_help=True)
    group.command("erase")(erase)
    group.command("verify")(verify)
    app.add_typer(group, name="actors")


def erase(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The actor, such as user:42.")],
    of: Annotated[
        str | None,
        typer.Option("--of", metavar="ISSUER", help="The issuer of that actor, if it has one."),
    ] = None,
    by: option.By = None,
    reason: option.Reason = None,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Delete from where an actor asked: addresses and programs.

    The events stay, and so do the ids in them. That it was done is recorded.
    """
    from .cli_contacts import erase_contacts

    state = state_of(context)
    with state.ledger() as ledger:
        erase_contacts(
            ledger, state.terminal(), subject, issuer=of, by=by, reason=reason, confirmed=yes
        )


def verify(context: typer.Context, _json: option.Json = False) -> None:
    """Compare what is kept with the digests in the events. Exit code 1 when something is broken."""
    from .cli_contacts import show_verified

    state = state_of(context)
    with state.ledger() as ledger:
        code = show_verified(state.terminal(), ledger.verify_contacts())
    raise typer.Exit(code)
