"""Errors of a host's policy: somebody asked for what he may not do, or for more than is allowed. See ``errors``."""

from datetime import datetime

from typing_extensions import override

from .error_root import Refused

_WORDS = {
    "concurrent": "{allowed:,} executions{which} may be under way at a time",
    "per_minute": "{allowed:,} executions{which} may be asked for in a minute",
    "cooldown": "after an execution{which} of {allowed:,} records or more there is a pause",
}


class LimitReached(Refused, code="limit_reached"):
    """Actor {actor} is at a limit: {what}."""

    limit: str
    """Which one: concurrent, per_minute or cooldown."""
    allowed: int
    actor: str
    action: str | None = None
    """The action that is counted; None counts all."""
    retry_at: datetime | None = None
    """When it may be tried again, by the database's clock; None when that depends on the end of another execution."""

    @property
    def what(self) -> str:
        """The limit in words."""
        which = f" of {self.action}" if self.action else ""
        words = _WORDS.get(self.limit, "{allowed}{which}")
        return words.format(allowed=self.allowed, which=which)

    @property
    @override
    def advice(self) -> str:
        """Say when it may be tried again."""
        if self.retry_at is None:
            return "Wait for the end of one of them, or cancel one."
        return f"Try again at {self.retry_at:%Y-%m-%d %H:%M:%S.%f%z}."


class TooManyRecords(
    Refused,
    code="too_many_records",
    hint="Choose fewer, and do it in several executions.",
):
    """The action {action} may change {allowed} records at a time, and {records} were chosen."""

    action: str
    records: int
    allowed: int


class NotAuthorized(
    Refused,
    code="not_authorized",
    hint="What was done before stays, and whoever may can undo it.",
):
    """Actor {actor} may not do that: {command}, asked at its {phase}."""

    actor: str
    command: str
    phase: str
