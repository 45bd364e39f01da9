"""Confirmation: which executions need the token of a preview, as one channel (a process, a command line) has it."""

from dataclasses import dataclass
from typing import Literal

Asked = Literal["never", "destructive", "always"]
STRICTNESS: tuple[Asked, ...] = ("never", "destructive", "always")
"""From the least to the most that is asked for."""


@dataclass(frozen=True, slots=True)
class ConfirmationPolicy:
    """When a token is needed, and when one is good."""

    actions: Asked = "never"
    """Whose executions need one: those of no action, of destructive ones, or of each."""
    above: int | None = None
    """Executions of more records need one as well, whatever the action."""
    first: bool = False
    """Whether an actor's first execution of a destructive action needs one."""
    ttl_seconds: float = 900
    """How old a preview may be that confirms, by the database's clock."""
    drift: float = 0
    """By what share the number of records may differ from the preview's; 0 wants the very same records."""

    def wants(self, *, destructive: bool) -> bool:
        """Say whether an action needs a token however few its records are."""
        return self.actions == "always" or (self.actions == "destructive" and destructive)

    def drifted(self, *, previewed: int, found: int) -> bool:
        """Say whether a number of records is too far from the preview's."""
        return abs(found - previewed) > self.drift * previewed


NO_CONFIRMATION = ConfirmationPolicy()
"""Asks for nothing. A token that is given is looked at all the same."""
