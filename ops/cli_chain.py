"""`action-ledger chain` and `chains`: run executions one after the other, look at them, steer them, take them back."""

from typing import Annotated

import typer

from . import cli_context as whose
from . import cli_options as option
from .cli_state import state_of

Chain = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The chain's id, its beginning or its end if no other has it, or: last.",
    ),
]
File = Annotated[
    str, typer.Argument(metavar="FILE|-|JSON", help="The steps, as JSON: docs/guide/chains.md.")
]


def register(app: typer.Typer) -> None:
    """Add the command and the group of commands."""
    app.command("chain")(chain)
    group = typer.Typer(
        help="Chains: list, show, pause, resume, cancel, undo.",
        no_args_is_help=True,
    )
    for name, command in (
        ("list", list_),
        ("show", show),
        ("pause", pause),
        ("resume", resume),
        ("cancel", cancel),
        ("undo", undo),
    ):
        group.command(name)(command)
    app.add_typer(group, name="chains")


def chain(
    context: typer.Context,
    file: File,
    by: option.By = None,
    reason: option.Reason = None,
    once: option.Once = None,
    workers: option.Workers = 1,
    submit: option.Submit = False,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Run executions one after the other; when one fails, take back what those before it did.

    \b
    action-ledger chain steps.json --by user:42 --reason TICKET-4711

    Each step is begun when those before it have ended. What destroys has to be confirmed.
    """
    from .cli_chains import run_chain

    state = state_of(context)
    with state.ledger() as ledger:
        code = run_chain(
            ledger,
            state.terminal(),
            file,
            by=by,
            reason=reason,
            once=once,
            workers=workers,
            submit=submit,
            confirmed=yes,
        )
    raise typer.Exit(code)


def list_(
    context: typer.Context,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            help="running, paused, compensating, completed, failed, cancelled or compensated.",
        ),
    ] = None,
    limit: option.Limit = 20,
    _json: option.Json = False,
) -> None:
    """List chains, the newest first."""
    from .cli_chains import list_chains

    state = state_of(context)
    with state.ledger() as ledger:
        list_chains(state.terminal(), ledger.chains(status=status, limit=limit))


def show(context: typer.Context, chain: Chain = "last", _json: option.Json = False) -> None:
    """Show a chain and its steps, each with its execution and its progress."""
    from .cli_chains import find_chain, show_chain

    state = state_of(context)
    with state.ledger() as ledger:
        show_chain(state.terminal(), find_chain(ledger, chain))


def pause(
    context: typer.Context,
    chain: Chain,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Begin no further step, and pause the one at work, until it is resumed."""
    from .cli_chains import steer

    state = state_of(context)
    with state.ledger() as ledger:
        steer(ledger, state.terminal(), chain, lambda it: it.pause(by=by, reason=reason))


def resume(
    context: typer.Context,
    chain: Chain,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Let it go on."""
    from .cli_chains import steer

    state = state_of(context)
    with state.ledger() as ledger:
        steer(ledger, state.terminal(), chain, lambda it: it.resume(by=by, reason=reason))


def cancel(
    context: typer.Context,
    chain: Chain,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """End it, and cancel the step at work. What is done stays, and can be undone."""
    from .cli_chains import steer

    state = state_of(context)
    with state.ledger() as ledger:
        steer(ledger, state.terminal(), chain, lambda it: it.cancel(by=by, reason=reason))


def undo(
    context: typer.Context,
    chain: Chain,
    by: option.By = None,
    reason: option.Reason = None,
    settings: whose.Settings = None,
    role: whose.Role = None,
    workers: option.Workers = 1,
    submit: option.Submit = False,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Take back what its steps did, the newest first. Records that somebody changed since are left alone."""
    from .cli_chains import undo_chain

    state = state_of(context)
    with state.ledger() as ledger:
        code = undo_chain(
            ledger,
            state.terminal(),
            chain,
            by=by,
            reason=reason,
            settings=whose.typed_settings(settings),
            role=role,
            workers=workers,
            submit=submit,
            confirmed=yes,
        )
    raise typer.Exit(code)
