"""`action-ledger run` and `preview`: choose records, say what is to be done, and do it or look first."""

from typing import Annotated

import typer

from . import cli_context as whose
from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run)
    app.command("preview")(preview)


def run(
    context: typer.Context,
    table: option.Table,
    action: option.Action,
    where: option.Where = None,
    where_json: option.WhereJson = None,
    keys: option.Keys = None,
    keys_file: option.KeysFile = None,
    everything: option.All = False,
    set_: option.Set = None,
    set_null: option.SetNull = None,
    param: option.Param = None,
    params_json: option.ParamsJson = None,
    hard: option.Hard = False,
    mark: option.Mark = None,
    to: option.To = None,
    format_: option.Format = None,
    columns: option.Columns = None,
    overwrite: option.Overwrite = False,
    by: option.By = None,
    reason: option.Reason = None,
    once: option.Once = None,
    workers: option.Workers = 1,
    submit: option.Submit = False,
    batch_size: option.BatchSize = None,
    adaptive: option.Adaptive = None,
    rate: option.Rate = None,
    concurrency: option.Concurrency = None,
    streaming: option.Streaming = False,
    frozen: option.Frozen = False,
    undo_days: option.UndoDays = None,
    irreversible: option.Irreversible = False,
    on_failure: option.OnFailure = "continue",
    max_failures: option.MaxFailures = None,
    max_failure_ratio: option.MaxFailureRatio = None,
    on_locked: option.OnLocked = None,
    settings: whose.Settings = None,
    role: whose.Role = None,
    queue: option.Queue = None,
    priority: option.Priority = 0,
    confirm: option.Confirm = None,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Change many records, in batches, undoable.

    \b
    action-ledger run places archive --where "country = FR" --where "population < 1000" \\
        --by user:42 --reason TICKET-4711
    action-ledger run places update --keys 1,2,3 --set status=open --set-null note --by user:42
    action-ledger run places export --all --to places.csv --columns id,name --by user:42

    What is archived or deleted, and what is of more than 1,000 records, has to be confirmed: on a terminal it is
    previewed, and asked about; a script gives the token of a preview.
    """
    from .cli_running import run_wanted
    from .cli_wanted import Chosen, Told, Wanted

    wanted = Wanted(
        table=table,
        action=action,
        chosen=Chosen(
            where=tuple(where or ()),
            where_json=where_json,
            keys=keys,
            keys_file=keys_file,
            everything=everything,
        ),
        told=Told(
            set_=tuple(set_ or ()),
            set_null=tuple(set_null or ()),
            params=tuple(param or ()),
            params_json=params_json,
            hard=hard,
            mark=mark,
            to=to,
            format_=format_,
            columns=columns,
            overwrite=overwrite,
            reason=reason,
        ),
        by=by,
        once=once,
        batch_size=batch_size,
        adaptive=adaptive,
        rate=rate,
        concurrency=concurrency,
        queue=queue,
        priority=priority,
        undo_days=undo_days,
        irreversible=irreversible,
        streaming=streaming,
        frozen=frozen,
        on_failure=on_failure,
        max_failures=max_failures,
        max_failure_ratio=max_failure_ratio,
        on_locked=on_locked,
        settings=whose.typed_settings(settings),
        role=role,
    )
    state = state_of(context)
    with state.ledger() as ledger:
        code = run_wanted(
            ledger,
            state.terminal(),
            wanted,
            workers=workers,
            submit=submit,
            confirmed=yes,
            token=confirm,
        )
    raise typer.Exit(code)


def preview(
    context: typer.Context,
    table: option.Table,
    action: option.Action,
    where: option.Where = None,
    where_json: option.WhereJson = None,
    keys: option.Keys = None,
    keys_file: option.KeysFile = None,
    everything: option.All = False,
    set_: option.Set = None,
    set_null: option.SetNull = None,
    param: option.Param = None,
    params_json: option.ParamsJson = None,
    hard: option.Hard = False,
    mark: option.Mark = None,
    by: option.By = None,
    reason: option.Reason = None,
    batch_size: option.BatchSize = None,
    frozen: option.Frozen = False,
    undo_days: option.UndoDays = None,
    irreversible: option.Irreversible = False,
    on_failure: option.OnFailure = "continue",
    max_failures: option.MaxFailures = None,
    max_failure_ratio: option.MaxFailureRatio = None,
    settings: whose.Settings = None,
    role: whose.Role = None,
    records: Annotated[
        int | None,
        typer.Option("--records", min=0, help="How many are tried at most."),
    ] = None,
    sample: Annotated[
        int,
        typer.Option("--sample", "-n", min=0, help="How many records to show."),
    ] = 10,
    _json: option.Json = False,
) -> None:
    """Do what a run would do, roll it back, and show what came of it.

    The records are as before. That you looked is recorded, and gives a token: with the same options,
    `run ... --confirm TOKEN` does exactly what was previewed, or nothing.

    \b
    action-ledger preview places archive --where "country = FR" --where "population < 1000" --by user:42
    """
    from .cli_running import preview_wanted
    from .cli_wanted import Chosen, Told, Wanted

    wanted = Wanted(
        table=table,
        action=action,
        chosen=Chosen(
            where=tuple(where or ()),
            where_json=where_json,
            keys=keys,
            keys_file=keys_file,
            everything=everything,
        ),
        told=Told(
            set_=tuple(set_ or ()),
            set_null=tuple(set_null or ()),
            params=tuple(param or ()),
            params_json=params_json,
            hard=hard,
            mark=mark,
            reason=reason,
        ),
        by=by,
        batch_size=batch_size,
        undo_days=undo_days,
        irreversible=irreversible,
        frozen=frozen,
        on_failure=on_failure,
        max_failures=max_failures,
        max_failure_ratio=max_failure_ratio,
        settings=whose.typed_settings(settings),
        role=role,
    )
    state = state_of(context)
    with state.ledger() as ledger:
        preview_wanted(ledger, state.terminal(), wanted, sample=sample, records=records)
