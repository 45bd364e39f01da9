"""`action-ledger exports`: the files that were written, whether they still are what they were, and their end."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Files of exports: list, verify, clean.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("verify")(verify)
    group.command("clean")(clean)
    app.add_typer(group, name="exports")


def list_(context: typer.Context, limit: option.Limit = 20, _json: option.Json = False) -> None:
    """List exports with their manifests, the newest first."""
    from .cli_export_lists import list_exports

    state = state_of(context)
    with state.ledger() as ledger:
        list_exports(state.terminal(), ledger.exports.newest(limit))


def verify(
    context: typer.Context,
    export: Annotated[
        str,
        typer.Argument(metavar="ID|PATH", help="The execution, or the path of its file; or: last."),
    ] = "last",
    _json: option.Json = False,
) -> None:
    """Compare a file with the SHA-256 that was recorded. Exit code 1 when it differs or is missing."""
    from .cli_export_lists import verify_export

    state = state_of(context)
    with state.ledger() as ledger:
        code = verify_export(ledger, state.terminal(), export)
    raise typer.Exit(code)


def clean(
    context: typer.Context,
    days: Annotated[
        float | None,
        typer.Option("--days", min=0, help="Those so old; else the setting says it."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
    by: option.By = None,
    _json: option.Json = False,
) -> None:
    """Remove files whose time is over. Workers do it by themselves; each is recorded."""
    from .cli_export_lists import show_cleaned

    state = state_of(context)
    with state.ledger() as ledger:
        found = ledger.exports.clean(by=by, days=days, dry_run=dry_run)
        show_cleaned(state.terminal(), found, dry_run=dry_run)
