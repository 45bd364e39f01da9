"""Hints: commands to go on with, written so that they can be pasted as they stand."""

import os
import shlex
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from action_ledger.domain.context import Context

PROGRAM = "action-ledger"
ACTOR = "ACTION_LEDGER_ACTOR"
YOU = "YOU"
"""Stands where a person has to say who asks: nobody is named for them, since the audit keeps it for ever."""


@dataclass(frozen=True, slots=True)
class Step:
    """What can be done now, and the command that does it, if it is one."""

    why: str
    words: tuple[object, ...] = ()
    asks: bool = False
    """Whether the command has to say who asks."""


def within(context: Context | None) -> tuple[str, ...]:
    """Write the options that say whose rights a command is to have."""
    if context is None:
        return ()
    settings = (("--context", f"{name}={value}") for name, value in context.settings.items())
    role = () if context.role is None else ("--role", context.role)
    return (*(word for words in settings for word in words), *role)


def pasteable(step: Step, given: tuple[str, ...]) -> str:
    """Write a step's command. ``given`` are the global options with which this one was called."""
    actor = ("--by", YOU) if needs_name(step) else ()
    return shlex.join([_program(), *given, *map(str, step.words), *actor])


def needs_name(step: Step) -> bool:
    """Whether the command has a word to be filled in."""
    return step.asks and not os.environ.get(ACTOR)


def _program() -> str:
    """Name this program as it was called, where it is not the one that the shell finds."""
    called = Path(sys.argv[0])
    if called.name != PROGRAM or shutil.which(PROGRAM) == str(called.absolute()):
        return PROGRAM
    with suppress(ValueError):
        called = called.absolute().relative_to(Path.cwd())
    return str(called)
