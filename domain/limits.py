"""Limits: how much one actor may ask for, and how much one execution may change. Without any, everything goes."""

from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]


class Limits(BaseModel):
    """The limits of all actions together, or of one. None is no limit; all times are the database's.

    ``cooldown_seconds`` is for how long an actor has to wait after the end of an execution of ``cooldown_records``
    records or more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrent: Count | None = None
    """Executions of one actor that are under way at a time; those that are paused are."""
    records: Count | None = None
    """Records of one execution."""
    cooldown_seconds: Annotated[float, Field(gt=0)] | None = None
    cooldown_records: Count = 10_000
    per_minute: Count | None = None
    """Executions that one actor may ask for within any minute."""

    @property
    def of_actors(self) -> bool:
        """Whether any of them counts what an actor asked for before."""
        return any(
            limit is not None for limit in (self.concurrent, self.cooldown_seconds, self.per_minute)
        )


class Scoped(NamedTuple):
    """Limits, and the action that they count; None counts all actions."""

    limits: Limits
    action: str | None


class AllLimits(BaseModel):
    """The limits over all actions, and those of single actions, which hold as well."""

    model_config = ConfigDict(frozen=True)

    general: Limits = Limits()
    by_action: Mapping[str, Limits] = {}

    def of(self, action: str) -> Iterator[Scoped]:
        """Give the limits that hold for an action."""
        yield Scoped(self.general, None)
        if action in self.by_action:
            yield Scoped(self.by_action[action], action)

    def records(self, action: str) -> int | None:
        """Give how many records an execution of an action may have."""
        found = [one.limits.records for one in self.of(action) if one.limits.records is not None]
        return min(found, default=None)
