"""`action-ledger watch`, `pause`, `resume`, `cancel`, `tune` and `retry`: what is done about a run under way."""

from typing import Annotated, Any

import typer

from . import cli_context as whose
from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (watch, pause, resume, cancel, tune, retry):
        app.command(command.__name__)(command)


def watch(context: typer.Context, job: option.Id = "last", _json: option.Json = False) -> None:
    """Watch an execution or an undo until it has ended, or is paused.

    Ctrl-C ends the watching, not the work. With --json, a line for each change.
    """
    from .cli_steering import watch_job

    state = state_of(context)
    with state.ledger() as ledger:
        code = watch_job(ledger, state.terminal(), job)
    raise typer.Exit(code)


def pause(
    context: typer.Context,
    execution: option.Id,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Take nothing more of an execution up. Batches at work come to their end."""
    _steer(context, "pause", execution, by=by, reason=reason)


def resume(
    context: typer.Context,
    execution: option.Id,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Let a paused execution go on."""
    _steer(context, "resume", execution, by=by, reason=reason)


def cancel(
    context: typer.Context,
    execution: option.Id,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Stop an execution for good.

    Batches at work are given up. What is done stays done, and can be undone.
    """
    _steer(context, "cancel", execution, by=by, reason=reason)


def tune(
    context: typer.Context,
    execution: option.Id,
    by: option.By = None,
    reason: option.Reason = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", metavar="N|unlimited", help="Records a second, at most."),
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(
            "--concurrency", metavar="N|unlimited", help="Batches at work at a time, at most."
        ),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option("--priority", help="From -100 to 100; the highest goes first."),
    ] = None,
    _json: option.Json = False,
) -> None:
    """Set the pace of an execution anew, while it runs.

    \b
    action-ledger tune last --rate 2000 --by user:42
    """
    _steer(
        context,
        "retune",
        execution,
        by=by,
        reason=reason,
        rate=rate,
        concurrency=concurrency,
        priority=priority,
    )


def retry(
    context: typer.Context,
    execution: option.Id,
    not_processed: Annotated[
        bool,
        typer.Option("--not-processed", help="Also those that a cancel or a stop left undone."),
    ] = False,
    only_not_processed: Annotated[
        bool,
        typer.Option("--only-not-processed", help="Those alone, and none that failed."),
    ] = False,
    by: option.By = None,
    reason: option.Reason = None,
    settings: whose.Settings = None,
    role: whose.Role = None,
    once: option.Once = None,
    workers: option.Workers = 1,
    submit: option.Submit = False,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Try the failed records of an execution again.

    It becomes an execution of its own, with the same action, parameters and condition.
    """
    from .cli_steering import retry_execution

    state = state_of(context)
    with state.ledger() as ledger:
        code = retry_execution(
            ledger,
            state.terminal(),
            execution,
            failed=not only_not_processed,
            not_processed=not_processed or only_not_processed,
            by=by,
            reason=reason,
            settings=whose.typed_settings(settings),
            role=role,
            once=once,
            workers=workers,
            submit=submit,
            confirmed=yes,
        )
    raise typer.Exit(code)


def _steer(
    context: typer.Context,
    verb: str,
    execution: str,
    *,
    by: Any,  # noqa: ANN401 - an actor, where there is one
    reason: str | None,
    **options: object,
) -> None:
    from .cli_steering import steer_execution

    state = state_of(context)
    with state.ledger() as ledger:
        steer_execution(
            ledger, state.terminal(), execution, verb, by=by, reason=reason, options=options
        )
