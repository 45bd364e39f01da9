"""Errors about the fields of a command, said by the options that were typed."""

import re
from dataclasses import replace

from pydantic import BaseModel, ValidationError

from action_ledger.domain.actions import BUILT_IN
from action_ledger.domain.commands import (
    BreakLock,
    CancelExecution,
    CancelSchedule,
    CreateSchedule,
    PauseExecution,
    PauseSchedule,
    RequestExecution,
    RequestUndo,
    Reschedule,
    ResumeExecution,
    ResumeSchedule,
    RetuneExecution,
    RunScheduleNow,
)
from action_ledger.domain.errors import (
    ActionLedgerError,
    InvalidContext,
    InvalidParameters,
    InvalidSchedule,
)
from action_ledger.domain.findings import wrong_fields
from action_ledger.domain.rule import At, Cron

from .contexts import setting_of

_COMMANDS: tuple[type[BaseModel], ...] = (
    RequestExecution,
    RequestUndo,
    PauseExecution,
    ResumeExecution,
    CancelExecution,
    RetuneExecution,
    BreakLock,
    CreateSchedule,
    Reschedule,
    PauseSchedule,
    ResumeSchedule,
    CancelSchedule,
    RunScheduleNow,
    At,
    Cron,
)
_OF_COMMANDS = {
    "actor": "--by",
    "adaptive.seconds": "--adaptive",
    "at": "--at",
    "batch_size": "--batch-size",
    "catch_up": "--catch-up",
    "concurrency": "--concurrency",
    "confirmation": "--confirm",
    "cron": "--cron",
    "keep": "--selection",
    "max_failure_ratio": "--max-failure-ratio",
    "max_failures": "--max-failures",
    "on_failure": "--on-failure",
    "on_locked": "--on-locked",
    "once": "--once",
    "policy": "--on-conflict",
    "priority": "--priority",
    "queue": "--queue",
    "rate": "--rate",
    "reason": "--reason",
    "timezone": "--timezone",
    "undo_seconds": "--undo-days",
}
_OF_BUILT_INS = {
    "columns": "--columns",
    "format": "--format",
    "hard": "--hard",
    "mark": "--mark",
    "overwrite": "--overwrite",
    "path": "--to",
    "reason": "--reason",
}
_TITLES = frozenset(model.__name__ for model in _COMMANDS)
_BUILT_IN_NAMES = frozenset(action.name for action in BUILT_IN)
_IN_SENTENCES = re.compile(
    "|".join(rf"\b{name}\b" for name in sorted(_OF_COMMANDS, reverse=True) if "_" in name)
)


def by_options(error: ActionLedgerError) -> ActionLedgerError:
    """Give the error with the options in place of the fields; another error as it is."""
    cause = error.__cause__
    if isinstance(error, InvalidContext) and isinstance(cause, ValidationError):
        return replace(error, detail=wrong_fields(cause, named=_of_context))
    if not isinstance(error, InvalidParameters | InvalidSchedule) or not isinstance(
        cause, ValidationError
    ):
        return error
    if cause.title in _TITLES:
        named = _field_of_command
    else:
        named = _built_in if error.attributes.get("action") in _BUILT_IN_NAMES else _own
    return replace(error, detail=wrong_fields(cause, named=named, told=_sentence))


def _of_context(place: str) -> str:
    setting = setting_of(place)
    return "--role" if place == "role" else f"--context {setting or ''}".rstrip()


def _field_of_command(place: str) -> str:
    return _OF_COMMANDS.get(place, place)


def _built_in(place: str) -> str:
    return place if place.partition(".")[0] == "values" else _OF_BUILT_INS.get(place) or _own(place)


def _own(place: str) -> str:
    return f"--param {place}"


def _sentence(text: str) -> str:
    return _IN_SENTENCES.sub(lambda found: _OF_COMMANDS[found[0]], text)
