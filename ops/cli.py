"""The command line, `action-ledger`: its global options and its commands. docs/guide/command-line.md explains them.

Only what `--help` needs is imported here and in the modules of the commands.
"""

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import islice
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import (
    cli_actions,
    cli_actors,
    cli_chain,
    cli_exports,
    cli_hook,
    cli_inbox,
    cli_locks,
    cli_outcomes,
    cli_projections,
    cli_psql,
    cli_read,
    cli_run,
    cli_schedule,
    cli_steer,
    cli_store,
    cli_undo,
)
from .cli_exit_codes import ExitCode
from .cli_options import App, DataDir, Issuer, OnBehalfOf
from .cli_state import State, report, say_error, version

JSON = "--json"
ANYWHERE = ("--app", "--issuer", "--on-behalf-of")
STARTS = tuple(f"{option}=" for option in ANYWHERE)


class Commands(TyperGroup):
    """The root: errors of ours leave it as one line and an exit code, never as a traceback."""

    def make_context(self, info_name: Any, args: list[str], *rest: Any, **extra: Any) -> Any:  # noqa: ANN401
        """Read the global options, and whether errors are to be JSON: that must be known if the rest is wrong."""
        as_json = JSON in args
        with _reported(lambda: as_json):
            context = super().make_context(info_name, _global_first(args), *rest, **extra)
        context.meta[JSON] = as_json
        return context

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as Typer has it, whichever Click it brings
        """Run the command that was asked for."""
        with _reported(lambda: ctx.meta[JSON] or (isinstance(ctx.obj, State) and ctx.obj.as_json)):
            return super().invoke(ctx)


def _global_first(args: list[str]) -> list[str]:
    """Let some global options stand after the command too, where people write them: beside those that they go with."""
    rest = args.index("--") if "--" in args else len(args)
    first: list[str] = []
    others: list[str] = []
    words = iter(args[:rest])
    for word in words:
        if word in ANYWHERE:
            first += [word, *islice(words, 1)]
        else:
            (first if word.startswith(STARTS) else others).append(word)
    return [*first, *others, *args[rest:]]


@contextmanager
def _reported(as_json: Callable[[], bool]) -> Generator[None]:
    """Turn errors into words and exit codes."""
    try:
        yield
    except KeyboardInterrupt:
        say_error({"code": "interrupted", "message": "Interrupted."}, as_json=as_json())
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except typer.Exit:
        raise
    except Exception as error:
        # Where no command was named, the help is all there is to say.
        code = None if "NoArgs" in type(error).__name__ else report(error, as_json=as_json())
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
    host: App = None,
    issuer: Issuer = None,
    on_behalf_of: OnBehalfOf = None,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
) -> None:
    """Take the global options."""
    if host is not None and (database_url is not None or data_dir is not None):
        detail = "--app names a ledger, which has its database: no --database-url or --data-dir goes with it"
        raise typer.BadParameter(detail, ctx=context)
    context.obj = State(
        database_url=database_url,
        data_dir=data_dir,
        app=host,
        issuer=issuer,
        on_behalf_of=on_behalf_of,
    )


COMMANDS = (
    *(cli_run, cli_actions, cli_steer, cli_undo, cli_schedule, cli_chain, cli_hook),
    *(
        cli_outcomes,
        cli_read,
        cli_locks,
        cli_exports,
        cli_actors,
        cli_inbox,
        cli_projections,
        cli_store,
        cli_psql,
    ),
)
for commands in COMMANDS:
    commands.register(app)


def main() -> None:
    """Run the command line, and end the process. To be told to end is the same as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
