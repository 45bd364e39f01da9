"""An outage of the store as all threads of a process see it: told once when it begins, now and then, and at its end."""

import logging
import threading
import time

AGAIN_SECONDS = 60.0

log = logging.getLogger(__name__)


class Outage:
    """Remembers since when the store is out of reach."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told = 0.0

    def met(self, error: Exception) -> float:
        """Note that a thread could not reach the store; give for how many seconds that has been so."""
        now = time.monotonic()
        with self._lock:
            fresh = self._since is None
            if self._since is None:
                self._since = now
            if fresh or now - self._told > AGAIN_SECONDS:
                self._told = now
                log.warning("The store is out of reach: %s", " ".join(str(error).split()))
            return now - self._since

    def over(self) -> None:
        """Note that a thread has reached the store."""
        if self._since is not None:  # without the lock: it is asked after each unit
            with self._lock:
                self._tell_end()

    def _tell_end(self) -> None:
        if self._since is not None:
            log.warning("The store is back after %.1f s", time.monotonic() - self._since)
        self._since = None
