"""A bell: wakes threads that wait for something to do, and loses no ring between their look and their wait."""

import threading


class Bell:
    """Rung by anybody, heard by all who wait. Waiting costs nothing."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    @property
    def rings(self) -> int:
        """How often it was rung: to be read before looking for work, and given to ``wait``."""
        return self._rings

    def ring(self) -> None:
        """Wake everybody."""
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, timeout: float | None = None) -> bool:
        """Wait until it was rung more often than ``heard``; False when that took longer than ``timeout``."""
        with self._condition:
            return self._condition.wait_for(lambda: self._rings != heard, timeout)
