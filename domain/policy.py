"""The policy of a host: what may be asked for, by whom, and how much of it."""

from dataclasses import dataclass, field

from .limits import AllLimits


@dataclass(frozen=True, slots=True)
class Policy:
    """What the host decided. Without anything, everybody may do everything."""

    limits: AllLimits = field(default_factory=AllLimits)


EVERYTHING_GOES = Policy()
