"""Hooks: functions of the host's own, known by name, that are told of what became of an execution, undo or chain."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, StringConstraints

from .event import Tally

HOOK_NAME = r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$"
HookName = Annotated[str, StringConstraints(pattern=HOOK_NAME)]


class HookEvent(StrEnum):
    """What a hook can be called for."""

    PROGRESS = "progress"
    """Something more is done. Looks that come close together are one call, with the counts of its moment."""
    COMPLETE = "complete"
    """It has completed; its tally says whether records failed."""
    FAILURE = "failure"
    """It has ended in any other way: its status says in which."""


class Notify(BaseModel):
    """Which hooks a command names, each for what it is to be called for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    progress: HookName | None = None
    complete: HookName | None = None
    failure: HookName | None = None


class Notice(BaseModel):
    """What a hook is given. ``delivery_id`` is the same when it is called again for the same."""

    model_config = ConfigDict(frozen=True)

    delivery_id: UUID
    event: HookEvent
    kind: str
    """Of the job: execution, undo or chain."""
    job_id: UUID
    execution_id: UUID | None
    """The execution, or the one that an undo takes back; None for a chain."""
    actor: str
    status: str
    error: str | None
    """A stable code of the error tree, or an SQLSTATE."""
    total: int
    tally: Tally
    """Of records; of a chain's executions together."""
    happened_at: datetime
    """When that was recorded of which it is told, by the database's clock."""
    attempt: int
    """From 1: which call for this delivery it is."""


Hook = Callable[[Notice], Awaitable[object] | object]
"""A plain function or an ``async`` one. To raise is to be called again later."""


def subscription_id(job_id: UUID, event: HookEvent) -> UUID:
    """Name what a job has named a hook for."""
    return uuid5(job_id, f"notify {event}")


def after_complete_hook(action: str) -> str:
    """Name what an action has as its own hook; no hook that is registered can have such a name."""
    return f"{action}:after_complete"


def after_complete_id(job_id: UUID) -> UUID:
    """Name what an execution's action wants to be told of."""
    return uuid5(job_id, "after_complete")


def delivery_id(subscription: UUID, position: int) -> UUID:
    """Name what is delivered: the news at a position, however often it is told."""
    return uuid5(subscription, str(position))
