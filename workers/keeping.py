"""What the keepers of queues share, schedules and chains: how they wait, and what they leave to the worker."""

import random

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
