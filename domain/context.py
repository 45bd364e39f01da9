"""Whose rights an action has: settings and a role that the database's own policies look at, and which are allowed."""

import re
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from .error_context import ContextNotAllowed
from .text import Text

MOST_SETTINGS = 20
NAME_BYTES = 63
_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+")
_PATTERN = re.compile(rf"{_SETTING.pattern}|[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*\.\*")


def _setting(name: str) -> str:
    if not _SETTING.fullmatch(name) or len(name) > NAME_BYTES:
        message = "a setting has a name of two parts, such as app.tenant_id, in small letters"
        raise ValueError(message)
    return name


def _pattern(name: str) -> str:
    if not _PATTERN.fullmatch(name):
        message = (
            "a setting has a name of two parts, such as app.tenant_id; app.* allows all of app"
        )
        raise ValueError(message)
    return name


def _role(name: str) -> str:
    if name == "none" or len(name.encode()) > NAME_BYTES:
        message = "no role can have this name"
        raise ValueError(message)
    return name


SettingName = Annotated[str, AfterValidator(_setting)]
SettingPattern = Annotated[str, AfterValidator(_pattern)]
"""A setting's name, or ``app.*`` for all that begin with ``app.``."""
RoleName = Annotated[Text, Field(min_length=1), AfterValidator(_role)]
"""As PostgreSQL has it, not quoted."""
Value = Annotated[Text, Field(max_length=1_000)]


class Context(BaseModel):
    """What is set for each transaction of a command before it touches the user's table.

    ``settings`` are names of two parts with their values as text, ``role`` is whom the database is to take it for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: Annotated[dict[SettingName, Value], Field(max_length=MOST_SETTINGS)] = {}
    role: RoleName | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.settings and self.role is None:
            message = "a context has a setting or a role"
            raise ValueError(message)
        return self

    @override
    def __str__(self) -> str:
        """Say it in a line."""
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        return ", ".join([*settings, *([f"as role {self.role}"] if self.role else [])])


class AllowedContexts(BaseModel):
    """Which settings and roles a command may name. By default none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: Sequence[SettingPattern] = ()
    roles: Sequence[RoleName] = ()

    def require(self, context: Context | None) -> None:
        """Raise ContextNotAllowed for a context of which anything is not allowed."""
        if context is None:
            return
        for name in context.settings:
            if not any(_matches(pattern, name) for pattern in self.settings):
                raise ContextNotAllowed(kind="setting", name=name)
        if context.role is not None and context.role not in self.roles:
            raise ContextNotAllowed(kind="role", name=context.role)


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith(".*") else name == pattern
