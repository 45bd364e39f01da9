"""Guards the threads of a service: none of them is missing unnoticed.

The loss of the connection is waited out. A thread that meets a fault nobody foresaw is started again a few times;
then the whole service ends with that fault.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

from psycopg import InterfaceError, OperationalError
from psycopg.errors import ReadOnlySqlTransaction

from action_ledger.domain.errors import StoreUnavailable

RESTARTS = 3
"""So often a thread may fail within ``RESTARTS_WITHIN`` seconds and is started again."""
RESTARTS_WITHIN = 60.0
AGAIN_SECONDS = 0.25
OUTAGE_SHARE = 0.5
"""The next look at a store out of reach comes after at most so much of the time for which it has been away."""
SHORTEST_LOOK, LONGEST_LOOK = 0.1, 10.0

OUTAGES = (OperationalError, InterfaceError, ReadOnlySqlTransaction, StoreUnavailable)
"""What is waited out. A server that only reads has been replaced by another, or will be."""

log = logging.getLogger(__name__)


class Guard:
    """Makes threads that are run until they have come to their end."""

    def __init__(
        self,
        name: str,
        *,
        met: Callable[[Exception], float],
        fail: Callable[[BaseException], None],
    ) -> None:
        """``met`` is told of each outage and gives its seconds so far, ``fail`` is told of what cannot be borne."""
        self._name, self._met, self._fail = name, met, fail

    def thread(
        self, name: str, body: Callable[[], None], over: threading.Event
    ) -> threading.Thread:
        """Make a thread that runs ``body`` until it returns, or until it is ``over``."""
        # In a copy of the caller's context, which holds the host's telemetry. A daemon, so that a process that
        # ends at once does not wait for a batch.
        context = copy_context()
        return threading.Thread(
            target=lambda: context.run(self._run, name, body, over),
            name=f"action-ledger-{name}",
            daemon=True,
        )

    def _run(self, name: str, body: Callable[[], None], over: threading.Event) -> None:
        """Run a thread's body to its end, and again after a fault; no thread is missing unnoticed."""
        failed: list[float] = []
        ended = False
        while not ended and not over.is_set():
            try:
                body()
                ended = True
            except OUTAGES as error:
                if over.is_set():
                    return
                over.wait(_until_next_look(self._met(error)))
            except Exception as error:
                log.exception("The thread %s of worker %s failed", name, self._name)
                now = time.monotonic()
                failed = [at for at in failed if now - at < RESTARTS_WITHIN] + [now]
                if len(failed) > RESTARTS:
                    self._fail(error)
                over.wait(AGAIN_SECONDS)
            except BaseException as error:  # noqa: BLE001 - the thread ends, so the service does
                self._fail(error)
                ended = True


def _until_next_look(away: float) -> float:
    """Wait in proportion to the outage, with jitter: a short one costs little, and a long one is not hammered at."""
    longest = min(LONGEST_LOOK, max(SHORTEST_LOOK, OUTAGE_SHARE * away))
    return random.uniform(0.5, 1) * longest  # noqa: S311 - no secret
