"""How long to wait before what met a fault is tried again: twice as long each time, up to a bound."""

ENOUGH = 30
"""So many doublings pass every bound; a number that grows for ever would leave the range of a float."""


def doubled(first: float, attempt: int, *, longest: float) -> float:
    """Give the seconds to wait, at most, after an attempt: ``first`` twice as long each time, and never longer."""
    return min(longest, first * 2.0 ** min(attempt, ENOUGH))
