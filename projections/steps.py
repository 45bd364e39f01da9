"""Named points of the work at which a test can strike: each stands between two statements that matter."""

from collections.abc import Callable
from contextvars import ContextVar

Strike = Callable[[str], None]

strike: ContextVar[Strike | None] = ContextVar("action_ledger_strike", default=None)
"""Set by tests only; nothing strikes otherwise."""


def reached(step: str) -> None:
    """Say that the work has come to a step."""
    hook = strike.get()
    if hook is not None:
        hook(step)
