"""`action-ledger executions`, `show`, `audit` and `history`: what was done, by whom, why, and to which records."""

from typing import Annotated

import typer

from . import cli_context as whose
from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("executions")(executions)
    app.command("show")(show)
    app.command("audit")(audit)
    app.command("history")(history)


def executions(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option("--status", help="requested, running, completed or failed.")
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Who asked.")] = None,
    table: Annotated[
        str | None, typer.Option("--table", help="Of this table, as schema.table or table.")
    ] = None,
    limit: option.Limit = 20,
    _json: option.Json = False,
) -> None:
    """List what was done lately, the newest first."""
    from .cli_reading import list_executions

    state = state_of(context)
    with state.ledger() as ledger:
        found = ledger.executions(status=status, actor=actor, table=table, limit=limit)
        chosen = any(option is not None for option in (status, actor, table))
        list_executions(ledger, state.terminal(), found, chosen=chosen)


def show(
    context: typer.Context,
    execution: option.Id = "last",
    limit: option.Limit = 10,
    _json: option.Json = False,
) -> None:
    """Show one execution or undo: who, why, how far.

    Also what failed, and what can be done now.
    """
    from .cli_reading import show_job

    state = state_of(context)
    with state.ledger() as ledger:
        show_job(ledger, state.terminal(), execution, limit=limit)


def audit(
    context: typer.Context,
    execution: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="Only what belongs to this execution; its id, or: last."
        ),
    ] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only what was asked by.")] = None,
    after: Annotated[
        int | None,
        typer.Option("--after", help="Page on from after this position, from 0; else the newest."),
    ] = None,
    limit: option.Limit = 100,
    _json: option.Json = False,
) -> None:
    """List the newest events, in the order in which they happened."""
    from .cli_reading import list_audit

    state = state_of(context)
    with state.ledger() as ledger:
        list_audit(ledger, state.terminal(), execution, actor=actor, after=after, limit=limit)


def history(
    context: typer.Context,
    table: option.Table,
    key: Annotated[
        str,
        typer.Argument(metavar="KEY", help="The record's key; a JSON array if of several columns."),
    ],
    settings: whose.Settings = None,
    role: whose.Role = None,
    _json: option.Json = False,
) -> None:
    """Show every change of one record.

    When, by whom, why, before and after.
    """
    from .cli_reading import show_history

    state = state_of(context)
    with state.ledger() as ledger:
        typed = whose.typed_settings(settings)
        show_history(ledger, state.terminal(), table, key, settings=typed, role=role)
