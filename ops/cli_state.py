"""What every command of the command line needs: the global options, and how errors become words and exit codes.

Imports nothing that is slow: `action-ledger --help` has to be there at once. So the commands import what they
need when they run.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import typer

from .cli_exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from action_ledger.domain.actor import Actor

    from .cli_terminal import Terminal
    from .database import Database
    from .ledger import Ledger
    from .settings import Settings


UsageError: Any = typer.BadParameter.__base__
"""What Typer raises for a command line that cannot be read, whichever Click it brings."""


@dataclass(slots=True)
class State:
    """The global options, and whether the command was asked for JSON."""

    database_url: str | None = None
    data_dir: Path | None = None
    app: str | None = None
    issuer: str | None = None
    on_behalf_of: str | None = None
    as_json: bool = False

    def settings(self) -> Settings:
        """Read the settings; an option wins over its variable. Raises InvalidSetting."""
        from pydantic import SecretStr, ValidationError

        from action_ledger.domain.errors import InvalidSetting
        from action_ledger.domain.findings import what_is_wrong

        from .settings import Settings

        given: dict[str, object] = {}
        if self.database_url is not None:
            given["database_url"] = SecretStr(self.database_url)
        if self.data_dir is not None:
            given["data_dir"] = self.data_dir
        try:
            return Settings().model_copy(update=given)
        except ValidationError as error:
            wrong = error.errors(include_input=False, include_url=False)[0]
            name = "_".join(map(str, wrong["loc"])).upper()
            name = name if name.startswith("ACTION_LEDGER_") else f"ACTION_LEDGER_{name}"
            raise InvalidSetting(setting=name, detail=what_is_wrong(wrong)) from error

    def ledger(self) -> Ledger:
        """Open the ledger, the host's own where --app names it; telemetry starts if the environment asks for it."""
        from .opening import open_ledger
        from .telemetry import configure

        if self.app is not None:
            from .app import load_ledger

            configure(version())
            return load_ledger(self.app)
        settings = self.settings()
        configure(version())
        return open_ledger(settings=settings)

    def asker(self, subject: str) -> Actor:
        """Give who asks, from this host and with this program. Raises what is wrong with the name."""
        import socket

        from pydantic import ValidationError

        from action_ledger.domain.actor import Actor
        from action_ledger.domain.findings import wrong_fields

        try:
            return Actor(
                subject=subject,
                issuer=self.issuer,
                on_behalf_of=self.on_behalf_of,
                address=socket.gethostname(),
                agent=f"action-ledger/{version()}",
            )
        except ValidationError as error:
            detail = wrong_fields(error).removeprefix("subject: ")
            raise typer.BadParameter(detail) from error

    def database(self) -> tuple[Database, Settings]:
        """Open the database alone, migrated or not."""
        from .opening import open_database

        settings = self.settings()
        return open_database(settings), settings

    def terminal(self) -> Terminal:
        """Make the terminal that this command speaks on."""
        from .cli_terminal import Terminal

        given = {"--data-dir": self.data_dir, "--app": self.app}
        words = ((option, str(value)) for option, value in given.items() if value is not None)
        return Terminal(as_json=self.as_json, given=tuple(chain.from_iterable(words)))


def state_of(context: typer.Context) -> State:
    """Give the state that the root command made."""
    return cast("State", context.find_root().obj)


def version() -> str:
    """Give the version of the installed distribution."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as read_version

    try:
        return read_version("action-ledger")
    except PackageNotFoundError:
        return "0 (not installed)"


def report(error: Exception, *, as_json: bool) -> ExitCode | None:
    """Say on stderr what went wrong, and give the exit code; None for an error that is none of ours."""
    from psycopg import Error

    from action_ledger.domain.errors import ActionLedgerError, InvalidUsage

    from .cli_option_names import by_options
    from .translation import translated

    if isinstance(error, UsageError):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "action-ledger"
        error = InvalidUsage(command=command, detail=_said(error))
    if isinstance(error, Error):
        error = translated(error)
    if not isinstance(error, ActionLedgerError):
        return None
    error = by_options(error)
    say_error(error.to_dict(), as_json=as_json)
    return code_of(error)


def _said(error: Any) -> str:  # noqa: ANN401 - whichever Click it is
    return str(error.format_message()).rstrip(".")


def say_error(said: dict[str, Any], *, as_json: bool) -> None:
    """Write an error on stderr: one line, and one with the keys that it is about if it has some; or JSON."""
    from .cli_terminal import clean

    if as_json:
        text = json.dumps(said, default=str, ensure_ascii=False)
    else:
        text = f"error[{said['code']}]: {' '.join(str(said['message']).split())}"
        if keys := said.get("sample"):
            text += f"\nKeys, for example: {clean('; '.join(keys))}"
    sys.stderr.write(text + "\n")


def code_of(error: Exception) -> ExitCode:
    """Give the exit code of an error."""
    from action_ledger.domain.errors import (
        ConfirmationInvalid,
        ConfirmationRequired,
        InvalidCommand,
        Refused,
        SelectionDrifted,
    )

    match error:
        case ConfirmationRequired() | ConfirmationInvalid() | SelectionDrifted():
            return ExitCode.UNCONFIRMED
        case Refused():
            return ExitCode.REFUSED
        case InvalidCommand():
            return ExitCode.INVALID
        case _:
            return ExitCode.STORE
