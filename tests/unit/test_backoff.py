"""Waits after faults: twice as long each time up to a bound, however often it was tried."""

import pytest

from action_ledger.workers.backoff import doubled


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 0.1), (1, 0.2), (3, 0.8), (10, 10), (1_100, 10), (10**9, 10)]
)
def test_doubled(attempt: int, seconds: float) -> None:
    assert doubled(0.1, attempt, longest=10) == pytest.approx(seconds)
