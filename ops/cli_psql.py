"""`action-ledger psql`: PostgreSQL's own terminal on the embedded database, which has no address of its own."""

import signal
import subprocess

import typer

from .cli_state import state_of


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("psql", context_settings={"ignore_unknown_options": True})(psql)


def psql(
    context: typer.Context,
    arguments: list[str] = typer.Argument(None, help="What psql is given, such as -c COMMAND."),
) -> None:
    """Open psql on the embedded database.

    The server runs as long as something uses it, so an address alone would lead nowhere. On a server of your
    own use psql with your URL.

    \b
    action-ledger psql -c "SELECT count(*) FROM demo.places"
    """
    from action_ledger.domain.errors import InvalidUsage

    from .embedded import embedded_url, programs

    settings = state_of(context).settings()
    if settings.database_url is not None:
        detail = "it opens the embedded database, and ACTION_LEDGER_DATABASE_URL names another"
        raise InvalidUsage(command=context.command_path, detail=detail)
    command = [programs() / "psql", embedded_url(settings.data_dir), *(arguments or ())]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for psql, which handles it
    raise typer.Exit(subprocess.run(command, check=False).returncode)  # noqa: S603 - what the caller typed
