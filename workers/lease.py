"""The lease: who may say what came of a batch whose work is done outside of a transaction.

It is a committed row with an epoch and an end by the database's clock. Whoever finds it run out takes the next
one, with the next epoch; from then on nothing is written under the older. The holder renews it from a thread.
"""

import contextvars
import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from psycopg import Error

from action_ledger.domain.errors import StoreUnavailable
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store, Transaction

from .claim import Unit
from .steps import reached

SQL = read_blocks("action_ledger.workers", "effects.sql")

log = logging.getLogger(__name__)


class LeaseLost(Exception):  # noqa: N818 - it says what happened, as the errors of the domain do
    """Another worker has the lease by now: what was not kept until then is its to find out."""


class Lease:
    """One lease of one unit."""

    def __init__(
        self, store: Store, unit: Unit, *, epoch: int, worker: str, seconds: float, patience: float
    ) -> None:
        """``patience`` is for how long it is renewed although nothing is heard of the work."""
        self._store = store
        self._unit = unit
        self._patience = patience
        self._confirmed = self._heard = time.monotonic()
        self.epoch = epoch
        self.worker = worker
        self.seconds = seconds
        self.silence = seconds / 2
        self.lost = threading.Event()
        self.closed = threading.Event()
        """The execution was closed: no further record is to be begun."""

    @property
    def values(self) -> dict[str, object]:
        """What tells it from any other."""
        return {
            "unit_id": self._unit.unit_id,
            "execution_id": self._unit.execution_id,
            "worker": self.worker,
            "epoch": self.epoch,
            "seconds": self.seconds,
        }

    @property
    def certain(self) -> bool:
        """Whether it was confirmed so lately that nobody can have taken it.

        This decides nothing but when to ask: a process that was frozen asks before it goes on.
        """
        return time.monotonic() - self._confirmed < self.seconds

    def take(self, transaction: Transaction) -> None:
        """Take it, in the transaction that has claimed the unit."""
        transaction.execute(SQL["take_lease"], self.values)

    def hold(self, transaction: Transaction) -> bool:
        """Keep it from being taken until the end of a transaction; False when it was taken before."""
        return transaction.execute(SQL["hold_lease"], self.values).fetchone() is not None

    def renew(self) -> None:
        """Renew it. Raises LeaseLost."""
        asked = time.monotonic()
        with self._store.transaction(silence=self.silence) as transaction:
            row = transaction.execute(SQL["renew_lease"], self.values).fetchone()
        if row is None:
            self.lost.set()
            raise LeaseLost
        self._confirmed = asked
        self.look_at(row["status"])

    def release(self, *, error: str, delay: float) -> None:
        """Give it back before its end, so that nobody has to wait for that."""
        with self._store.transaction(silence=self.silence) as transaction:
            transaction.execute(
                SQL["release_lease"], {**self.values, "error": error, "delay": delay}
            )

    def look_at(self, status: str) -> None:
        """Take note of how the execution stands: an undo goes on whatever has become of it."""
        if self._unit.undo_id is None and ExecutionStatus(status).closed:
            self.closed.set()

    def beat(self) -> None:
        """Say that the work goes on."""
        self._heard = time.monotonic()

    @contextmanager
    def renewed(self) -> Generator[None]:
        """Renew it every third of its time until the block ends."""
        stop = threading.Event()
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._renew_until, stop), name="action-ledger-lease"
        )
        thread.daemon = True
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _renew_until(self, stop: threading.Event) -> None:
        pause = self.seconds / 3
        while not stop.wait(pause):
            if time.monotonic() - self._heard > self._patience:
                # A handler that blocks everything would hold the batch for ever.
                log.error("unit %s: its handler holds everything up", self._unit.unit_id)
                self.lost.set()
                return
            try:
                self.renew()
            except LeaseLost:
                return
            except (Error, StoreUnavailable) as error:
                log.warning("unit %s: its lease was not renewed: %s", self._unit.unit_id, error)
                pause = self.seconds / 12
                continue
            pause = self.seconds / 3
            reached("lease.renewed")
