"""A line of the bench's table: a budget, what was measured, and whether it is met."""

from dataclasses import dataclass
from statistics import median
from typing import Literal

Bound = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Result:
    """One figure beside its budget. ``samples`` are the figures of the single rounds."""

    name: str
    what: str
    bound: Bound
    budget: float
    samples: tuple[float, ...]
    unit: str
    detail: str

    @property
    def figure(self) -> float:
        """The median of the rounds."""
        return median(self.samples)

    @property
    def met(self) -> bool:
        """Whether the figure keeps the budget."""
        if self.bound == "at least":
            return self.figure >= self.budget
        return self.figure <= self.budget


def ratios(above: list[float], below: list[float]) -> tuple[float, ...]:
    """Divide round by round: what disturbs the machine for a while disturbs both sides of one round."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def rate(records: int, seconds: list[float]) -> str:
    """Say how many thousand records a second the median was."""
    return f"{records / median(seconds) / 1000:,.1f} k/s"
