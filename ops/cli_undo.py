"""`action-ledger undo` and `redo`: take an execution back, and apply again what was taken back."""

from typing import Annotated

import typer

from . import cli_context as whose
from . import cli_options as option
from .cli_state import state_of

_Keys = Annotated[
    str | None,
    typer.Option("--keys", metavar="KEY,...", help="Only these records."),
]
_Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="COLUMN,...", help="Only these columns; the rest stays."),
]
_Preview = Annotated[
    bool, typer.Option("--preview", help="Do it, roll it back, and show what would come of it.")
]
_Sample = Annotated[
    int, typer.Option("--sample", min=0, help="--preview: so many examples of each kind.")
]
_Records = Annotated[
    int | None,
    typer.Option("--records", metavar="NUMBER", min=0, help="--preview: try so many at most."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("undo")(undo)
    app.command("redo")(redo)


def undo(
    context: typer.Context,
    execution: option.Id,
    by: option.By = None,
    reason: option.Reason = None,
    once: option.Once = None,
    on_conflict: option.OnConflict = "skip",
    batch: option.Batches = None,
    keys: _Keys = None,
    columns: _Columns = None,
    settings: whose.Settings = None,
    role: whose.Role = None,
    workers: option.Workers = 1,
    submit: option.Submit = False,
    preview: _Preview = False,
    sample: _Sample = 10,
    records: _Records = None,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Take an execution back, or some of it.

    \b
    action-ledger undo last --by user:42
    action-ledger undo 4f1c --by user:42 --keys 17,18 --on-conflict force
    action-ledger undo 4f1c --by user:42 --columns price,status
    action-ledger undo 4f1c --by user:42 --on-conflict merge --preview

    A record that somebody changed since is left as it is and listed, with what was recorded and what is
    there now (skip, the default); or only the columns come back that nobody changed (merge); or the whole
    undo is refused (fail); or it is overwritten (force).
    """
    from .cli_undoing import Back, undo_execution

    back = Back(
        by=by,
        reason=reason,
        once=once,
        on_conflict=on_conflict,
        batches=tuple(batch or ()),
        keys=keys,
        columns=columns,
        settings=whose.typed_settings(settings),
        role=role,
        workers=workers,
        submit=submit,
        confirmed=yes,
        preview=preview,
        sample=sample,
        records=records,
    )
    state = state_of(context)
    with state.ledger() as ledger:
        code = undo_execution(ledger, state.terminal(), execution, back)
    raise typer.Exit(code)


def redo(
    context: typer.Context,
    undo: option.Id,
    by: option.By = None,
    reason: option.Reason = None,
    once: option.Once = None,
    on_conflict: option.OnConflict = "skip",
    batch: option.Batches = None,
    keys: _Keys = None,
    columns: _Columns = None,
    settings: whose.Settings = None,
    role: whose.Role = None,
    workers: option.Workers = 1,
    submit: option.Submit = False,
    preview: _Preview = False,
    sample: _Sample = 10,
    records: _Records = None,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Apply again what an undo took back. ID is an undo, or an execution for the newest undo of it.

    \b
    action-ledger redo last --by user:42
    """
    from .cli_undoing import Back, redo_undo

    back = Back(
        by=by,
        reason=reason,
        once=once,
        on_conflict=on_conflict,
        batches=tuple(batch or ()),
        keys=keys,
        columns=columns,
        settings=whose.typed_settings(settings),
        role=role,
        workers=workers,
        submit=submit,
        confirmed=yes,
        preview=preview,
        sample=sample,
        records=records,
    )
    state = state_of(context)
    with state.ledger() as ledger:
        code = redo_undo(ledger, state.terminal(), undo, back)
    raise typer.Exit(code)
