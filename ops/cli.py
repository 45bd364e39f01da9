"""The command line, `action-ledger`: its global options and its commands. docs/guide/command-line.md explains them.

Only what `--help` needs is imported here and in the modules of the commands.
"""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import (
    cli_outcomes,
    cli_projections,
    cli_read,
    cli_run,
    cli_schedule,
    cli_steer,
    cli_store,
    cli_undo,
)
from .cli_exit_codes import ExitCode
from .cli_options import DataDir
from .cli_state import State, report, version


class Commands(TyperGroup):
    """The root: errors of ours leave it as one line and an exit code, never as a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as Typer has it, whichever Click it brings
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted.\n")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except typer.Exit:
            raise
        except Exception as error:
            state = ctx.obj
            code = report(error, as_json=isinstance(state, State) and state.as_json)
            if code is None:
                raise
            raise typer.Exit(code) from error


app = typer.Typer(
    cls=Commands,
    name="action-ledger",
    help="Change many records at once on PostgreSQL, see what was done, by whom and why, and take it back.",
    epilog="Exit codes: 0 done, 1 done but for some records, 2 invalid, 3 refused, 4 store, 5 not confirmed, "
    "6 worker to be started again, "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"action-ledger {version()}\n")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url",
            metavar="URL",
            help="The server to use. Better set ACTION_LEDGER_DATABASE_URL, which other users of the "
            "machine cannot see. Without either, the embedded PostgreSQL starts.",
        ),
    ] = None,
    data_dir: DataDir = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Take the global options."""
    context.obj = State(database_url=database_url, data_dir=data_dir)


COMMANDS = (
    *(cli_run, cli_steer, cli_undo, cli_schedule),
    *(cli_outcomes, cli_read, cli_projections, cli_store),
)
for commands in COMMANDS:
    commands.register(app)


def main() -> None:
    """Run the command line, and end the process."""
    app()
