"""`action-ledger outcomes`: the records of an execution or an undo, by what became of them; for files too."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("outcomes")(outcomes)


def outcomes(
    context: typer.Context,
    job: option.Id = "last",
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            "-k",
            metavar="KIND",
            help="applied, failed, skipped or not-processed; of an undo: failed, skipped or conflict.",
        ),
    ] = "failed",
    form: Annotated[
        str,
        typer.Option("--format", "-f", metavar="table|csv|ndjson", help="How they are written."),
    ] = "table",
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=1, help="How many; of a table 20, else all."),
    ] = None,
) -> None:
    """List records by what became of them, with key and reason.

    \b
    action-ledger outcomes last --kind failed --format csv > failed.csv
    """
    from .cli_outcome_lists import list_outcomes

    state = state_of(context)
    state.as_json = form == "ndjson"
    with state.ledger() as ledger:
        list_outcomes(ledger, state.terminal(), job, kind=kind, form=form, limit=limit)
