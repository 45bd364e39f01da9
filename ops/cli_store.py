"""`action-ledger worker`, `workers`, `migrate`, `rollback` and `demo`: what keeps the ledger going, and its first steps."""

from typing import Annotated

import typer

from . import cli_options as option
from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("worker")(worker)
    app.command("workers")(workers)
    app.command("migrate")(migrate)
    app.command("rollback")(rollback)
    app.command("demo")(demo)


def worker(
    context: typer.Context,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            help="Only this queue. Again for each further one; an earlier one goes first.",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=64, help="How many units at once.")
    ] = 1,
    name: Annotated[
        str | None, typer.Option("--name", help="What it is called. Else its host and process.")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Leave when nothing is left to do.")
    ] = False,
    max_units: Annotated[
        int | None,
        typer.Option("--max-units", min=1, help="Leave after so many units, with exit code 6."),
    ] = None,
    max_memory: Annotated[
        int | None,
        typer.Option(
            "--max-memory",
            metavar="MB",
            min=1,
            help="Leave when the process takes more, with exit code 6.",
        ),
    ] = None,
) -> None:
    """Work on what was submitted.

    Until SIGTERM or Ctrl-C: then it finishes the batch at hand and leaves.
    """
    from .cli_serving import serve
    from .plan import Plan, worker_name

    state = state_of(context)
    plan = Plan(
        name=name or worker_name(),
        queues=queue or None,
        concurrency=concurrency,
        until_idle=until_idle,
        max_units=max_units,
        max_memory=max_memory,
    )
    raise typer.Exit(serve(state.ledger, state.terminal(), plan))


def workers(context: typer.Context, _json: option.Json = False) -> None:
    """List the workers: who is there, who was lost, and what each works on."""
    from .cli_roster import list_workers

    state = state_of(context)
    with state.ledger() as ledger:
        list_workers(state.terminal(), ledger.workers())


def migrate(context: typer.Context, _json: option.Json = False) -> None:
    """Bring the ledger's schema to this release.

    Safe to run again, and by several at once.
    """
    from .cli_upkeep import run_migrate

    state = state_of(context)
    run_migrate(*state.database(), state.terminal())


def rollback(
    context: typer.Context,
    steps: Annotated[int, typer.Option("--steps", min=1, help="How many migrations.")] = 1,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Take migrations back, with the ledger's data.

    The events, the change sets, all of it. Your own tables stay as they are.
    """
    from .cli_upkeep import run_rollback

    state = state_of(context)
    run_rollback(*state.database(), state.terminal(), steps=steps, confirmed=yes)


def demo(context: typer.Context) -> None:
    """See it all at work on 234,908 real places.

    They lie in a schema `demo`, which is made anew each time.
    """
    from .demo import run_demo

    state = state_of(context)
    terminal = state.terminal()
    with state.ledger() as ledger:
        run_demo(ledger, terminal)
