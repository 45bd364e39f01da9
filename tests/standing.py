"""Two who do something at once: one stands still at a step point while the other goes on, or waits for nobody."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

from action_ledger.ops import Ledger
from action_ledger.projections.store import Transaction
from action_ledger.workers import steps
from action_ledger.workers.patience import wait_at_most

Act = Callable[[], Any]
LONGEST = 30
LONGEST_WAIT_MS = 2_000


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


@contextmanager
def impatient(ledger: Ledger) -> Generator[Transaction]:
    """Begin a transaction in which a wait for a row is an error."""
    with ledger.store.transaction() as transaction:
        wait_at_most(transaction, LONGEST_WAIT_MS)
        yield transaction
