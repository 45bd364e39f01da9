"""Guards the threads of a service: none of them is missing unnoticed.

The loss of the connection is waited out. A thread that meets a fault nobody foresaw is started again a few times;
then the whole service ends with that fault.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context

from psycopg import InterfaceError, OperationalError

from action_ledger.domain.errors import StoreUnavailable

RESTARTS = 3
"""So often a thread may fail within ``RESTARTS_WITHIN`` seconds and is started again."""
RESTARTS_WITHIN = 60.0
FIRST_DELAY, LONGEST_DELAY = 0.25, 10.0

log = logging.getLogger(__name__)


class Guard:
    """Makes threads that are run until they have come to their end."""

    def __init__(
        self,
        name: str,
        *,
        met: Callable[[Exception], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """``met`` is told of each outage, ``fail`` of what cannot be borne."""
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
        delay, ended = FIRST_DELAY, False
        while not ended and not over.is_set():
            began = time.monotonic()
            try:
                body()
                ended = True
            except (OperationalError, InterfaceError, StoreUnavailable) as error:
                if over.is_set():
                    return
                self._met(error)
                delay = FIRST_DELAY if time.monotonic() - began > LONGEST_DELAY else delay
                over.wait(delay)
                delay = min(LONGEST_DELAY, 2 * delay)
            except Exception as error:
                log.exception("The thread %s of worker %s failed", name, self._name)
                now = time.monotonic()
                failed = [at for at in failed if now - at < RESTARTS_WITHIN] + [now]
                if len(failed) > RESTARTS:
                    self._fail(error)
                over.wait(FIRST_DELAY)
            except BaseException as error:  # noqa: BLE001 - the thread ends, so the service does
                self._fail(error)
                ended = True
