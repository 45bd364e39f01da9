"""`action-ledger worker`, `migrate`, `rollback` and `demo`: what keeps the ledger going, and its first steps."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("migrate")(migrate)
    app.command("rollback")(rollback)
    app.command("demo")(demo)


def worker(
    context: typer.Context,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", help="Only this queue. Again for each further one."),
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Leave when nothing is left to do.")
    ] = False,
) -> None:
    """Work on what was submitted, until SIGTERM or Ctrl-C: then finish the batch at hand and leave."""
    from .serving import serve

    state = state_of(context)
    with state.ledger() as ledger:
        code = serve(ledger, state.terminal(), queues=queue or None, until_idle=until_idle)
    raise typer.Exit(code)


def migrate(context: typer.Context, _json: option.Json = False) -> None:
    """Bring the ledger's schema to this release. Safe to run again, and by several at once."""
    from .upkeep import run_migrate

    state = state_of(context)
    run_migrate(*state.database(), state.terminal())


def rollback(
    context: typer.Context,
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many migrations.")] = 1,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Take the newest migrations back, with the data in their tables: events, change sets, all of it."""
    from .upkeep import run_rollback

    state = state_of(context)
    run_rollback(*state.database(), state.terminal(), steps=steps, confirmed=yes)


def demo(context: typer.Context) -> None:
    """Change, undo and audit 234,908 real places, in a schema `demo` that is made anew each time."""
    from .demo import run_demo

    state = state_of(context)
    terminal = state.terminal()
    with state.ledger() as ledger:
        run_demo(ledger, terminal)
