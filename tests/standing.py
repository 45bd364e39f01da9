"""Two who do something at once: the first stands still at a step point while the second is let go on."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

from action_ledger.workers import steps

Act = Callable[[], Any]
LONGEST = 30


@contextmanager
def standing(step: str, act: Act) -> Generator[None]:
    """Do something in a thread of its own, which stands still at a step until the block ends."""
    there, go = Event(), Event()

    def stand(reached: str) -> None:
        if reached == step and not there.is_set():
            there.set()
            assert go.wait(LONGEST)

    def run() -> None:
        steps.strike.set(stand)
        act()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(run)
        assert there.wait(LONGEST), f"it never came to {step}"
        try:
            yield
        finally:
            go.set()
        done.result(LONGEST)
