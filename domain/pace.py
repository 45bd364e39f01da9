"""The pace of an execution: how large its batches should be, from how fast it goes and how fast it may go."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_BATCH_SIZE = 100_000

SLACK = 1.5
"""A batch that is so much larger than wanted is left whole: to split it would cost more than it brings."""
SLACK_UNASKED = 2.0
"""The same where nobody asked for a size that follows: only what would take much too long is split."""


class Adaptive(BaseModel):
    """Batches sized so that each takes about ``seconds``, between a minimum and a maximum of records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(gt=0, le=3_600)
    minimum: int = Field(ge=1, le=MAX_BATCH_SIZE)
    maximum: int = Field(ge=1, le=MAX_BATCH_SIZE)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.minimum > self.maximum:
            message = f"the minimum ({self.minimum}) is above the maximum ({self.maximum})"
            raise ValueError(message)
        return self

    def within(self, records: float) -> int:
        """Give the number of records that is allowed and nearest."""
        return round(min(max(records, self.minimum), self.maximum))


class Oversize(NamedTuple):
    """What is wrong with the size of a batch, and how many records it should have at most."""

    reason: Literal["pace", "rate"]
    size: int


@dataclass(frozen=True, slots=True)
class Sizing:
    """What the batches of an execution are sized by, at the moment."""

    adaptive: Adaptive
    asked: bool
    """Whether the execution asked for it; otherwise it is the ledger's default, which only makes smaller."""
    start: int
    """Records of a batch while nothing is known yet."""
    rate: float | None
    """Records a second that are allowed, by all workers together."""
    speed: float | None
    """Records a second that one batch at work has made of late; None while nobody measured it."""

    @property
    def by_speed(self) -> int | None:
        """Records that take about the target's time; None where nothing speaks against a batch as it is."""
        if self.speed is not None:
            return self.adaptive.within(self.speed * self.adaptive.seconds)
        return self.adaptive.within(self.start) if self.asked else None

    @property
    def by_rate(self) -> int | None:
        """Records that the rate allows in the target's time; None without a rate."""
        return None if self.rate is None else max(1, round(self.rate * self.adaptive.seconds))

    @property
    def page(self) -> int:
        """Records of the next batch that a streaming planner cuts. The rate splits later, what comes up for work."""
        by_speed = self.by_speed
        if by_speed is None:
            return self.start
        return by_speed if self.asked else min(by_speed, self.start)

    def oversize(self, records: int) -> Oversize | None:
        """Say whether a batch should be split before it is worked on."""
        by_speed, by_rate = self.by_speed, self.by_rate
        slack = SLACK if self.asked else SLACK_UNASKED
        if by_rate is not None and (by_speed is None or by_rate < by_speed):
            return Oversize("rate", by_rate) if records > SLACK * by_rate else None
        if by_speed is not None and records > slack * by_speed:
            return Oversize("pace", by_speed)
        return None


def batches_at_once(rate: float, speed: float | None) -> int:
    """Give how many batches at work a rate needs at a time: more of them would come in bursts."""
    return 1 if speed is None else max(1, math.ceil(rate / speed))
