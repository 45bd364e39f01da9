"""Errors of what was typed on the command line, before it is a command. See ``errors``."""

# as in errors.py

from typing_extensions import override

from .error_invalid import InvalidCommand


class InvalidUsage(InvalidCommand, code="invalid_usage"):
    """The command line cannot be read: {detail}."""

    command: str
    detail: str

    @property
    @override
    def advice(self) -> str:
        """Name the help of the command."""
        return f"See `{self.command} --help`."


class InvalidCondition(
    InvalidCommand,
    code="invalid_condition",
    hint='Write one condition for each --where, such as "country = FR" or "name like \'Saint%\'".',
):
    """The condition {condition} cannot be read: {detail}."""

    condition: str
    detail: str


class UnreadableInput(InvalidCommand, code="unreadable_input"):
    """What {source} holds cannot be used: {detail}."""

    source: str
    detail: str


class AmbiguousId(
    InvalidCommand, code="ambiguous_id", hint="Give more of it: the last characters differ most."
):
    """There is more than one id that begins or ends with {given}: {matches}."""

    given: str
    matches: tuple[str, ...]


class AppNotFound(
    InvalidCommand,
    code="app_not_found",
    hint="Name a module that Python finds from the working directory, and what it calls the ledger.",
):
    """There is no ledger {app}: {detail}."""

    app: str
    detail: str


class InvalidApp(
    InvalidCommand,
    code="invalid_app",
    hint="Give --app a ledger of yours, or a function that opens it: --app shop.ledger:ledger.",
):
    """The ledger {app} cannot be used: {detail}."""

    app: str
    detail: str


class InvalidSetting(InvalidCommand, code="invalid_setting"):
    """The setting {setting} cannot be used: {detail}."""

    setting: str
    detail: str
