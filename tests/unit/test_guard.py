"""A thread that is guarded waits for a lost store as long as the outage makes sensible, and no longer."""

import threading

import pytest
from typing_extensions import override

from action_ledger.domain.errors import StoreUnavailable
from action_ledger.ops.guard import LONGEST_LOOK, SHORTEST_LOOK, Guard


class Clock(threading.Event):
    """Notes how long it would have waited, and goes on at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    @override
    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return self.is_set()


def waits(away: list[float]) -> list[float]:
    """Give the waits of a thread that meets the store out of reach after each of these seconds of an outage."""
    left, clock = list(away), Clock()

    def body() -> None:
        if left:
            raise StoreUnavailable(reason="it is away")

    guard = Guard("w", met=lambda _: left.pop(0), fail=lambda error: pytest.fail(repr(error)))
    thread = guard.thread("worker", body, clock)
    thread.start()
    thread.join()
    return clock.waits


def test_many_short_outages_do_not_add_up() -> None:
    waited = waits([0.0] * 20)
    assert len(waited) == 20
    assert max(waited) <= SHORTEST_LOOK


def test_a_long_outage_is_looked_at_ever_more_seldom() -> None:
    waited = waits([0, 1, 4, 16, 600])
    assert 0.25 <= waited[1] <= 0.5
    assert 1 <= waited[2] <= 2
    assert LONGEST_LOOK / 2 <= waited[4] <= LONGEST_LOOK


def test_threads_do_not_look_in_step() -> None:
    assert len({round(waits([8])[0], 6) for _ in range(8)}) > 1
