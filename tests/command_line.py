"""Runs the command line in this process, on a test's database, and reads what it said."""

import json
import os
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from action_ledger.ops.cli import app

CLEARED = ("ACTION_LEDGER_ACTOR", "FORCE_COLOR", "TTY_COMPATIBLE")


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended, and what it wrote where."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The stable code of the error on stderr."""
        return self.err.partition("error[")[2].partition("]")[0]


class CommandLine:
    """`action-ledger` on one database."""

    def __init__(self, url: str) -> None:
        self.environment: dict[str, str | None] = dict.fromkeys(CLEARED)
        self.environment["ACTION_LEDGER_DATABASE_URL"] = url

    def __call__(self, *arguments: object, stdin: str | None = None, **environment: str) -> Said:
        result = CliRunner().invoke(
            app, list(map(str, arguments)), input=stdin, env={**self.environment, **environment}
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    def process_environment(self) -> dict[str, str]:
        """The environment for a process of its own."""
        merged = {**os.environ, **self.environment}
        return {name: value for name, value in merged.items() if value is not None}
