"""The policy for failures: what an execution does when too many of its records fail."""

from enum import StrEnum


class OnFailure(StrEnum):
    """What is done when more records have failed than are allowed."""

    CONTINUE = "continue"
    """Go on with the others; the failed ones are listed."""
    STOP = "stop"
    """Take up nothing more. What is done stays, and can be undone."""
    ROLLBACK = "rollback"
    """Take up nothing more, and take back what was done."""


def too_many(
    failed: int, total: int, *, max_failures: int | None, max_failure_ratio: float | None
) -> bool:
    """Say whether more failed than is allowed: more than the number, or more than the share of the total.

    With neither given, none is allowed.
    """
    if max_failure_ratio is not None and failed > max_failure_ratio * total:
        return True
    if max_failures is None:
        return max_failure_ratio is None and failed > 0
    return failed > max_failures
