"""What the keepers of queues share, schedules and chains: how they wait, and what they leave to the worker."""

import random
import time
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from uuid import UUID

from psycopg import Error

from .backoff import doubled
from .faults import Scope, scope_of

FIRST_DELAY = 0.1
LONGEST_DELAY = 10.0
ASIDE = 60.0
"""Seconds for which a row is left alone that can neither be moved on nor be said to have failed."""
TABLE_WAIT_MS = 2_000
"""How long a keeper waits for a table that somebody alters, before it lets others go first."""


def let_pass(error: Exception) -> None:
    """Leave a fault that is no row's own to the worker, whose next step meets it too and waits."""
    if not isinstance(error, Error) or scope_of(error) is not Scope.PASSING:
        raise error


def delay(attempt: int) -> float:
    """Wait longer each time, and never in step with others."""
    return random.uniform(0, doubled(FIRST_DELAY, attempt, longest=LONGEST_DELAY))  # noqa: S311 - no secret


class _Pause(NamedTuple):
    until: float
    seconds: float


class PutOff:
    """What met a fault, by the ids of executions: each is left alone for a while, twice as long after each fault."""

    def __init__(self, *, first: float, longest: float) -> None:
        """Both in seconds."""
        self._first, self._longest = first, longest
        self._waiting: dict[UUID, _Pause] = {}
        self._due: dict[UUID, _Pause] = {}

    def look(self) -> AbstractSet[UUID]:
        """Begin a look: give what is to be left alone in it. The others are forgotten, unless they meet a fault again."""
        now = time.monotonic()
        self._due = {id_: each for id_, each in self._waiting.items() if each.until <= now}
        self._waiting = {id_: each for id_, each in self._waiting.items() if each.until > now}
        return self._waiting.keys()

    def again(self, execution_id: UUID) -> float:
        """Put off what met a fault in this look; give for how many seconds."""
        before = self._due.get(execution_id)
        seconds = self._first if before is None else min(2 * before.seconds, self._longest)
        self._waiting[execution_id] = _Pause(time.monotonic() + seconds, seconds)
        return seconds
