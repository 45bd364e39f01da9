"""Calls of a record action's function: one record after the other in a thread, each within its time.

The thread knows nothing of the transaction, so that a call that hangs can be left behind.
"""

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from .effect_calls import told

SIGN = 1.0
"""Seconds, at most, between two signs of life while a page is called for."""

Call = Callable[[Any], object]


class Raised:
    """What a call raised, as it is told."""

    __slots__ = ("message",)

    def __init__(self, error: BaseException) -> None:
        self.message = told(error)


class Late:
    """What came of a call that took too long."""

    __slots__ = ()


LATE: Final = Late()


def call_each(
    call: Call, records: Sequence[Any], *, timeout: float, alive: Callable[[], object]
) -> list[object]:
    """Give what came of each record: what the call returned, Raised, or Late.

    ``alive`` is called at least every second, and more often where the time-out is shorter.
    """
    answers: list[object] = []
    while len(answers) < len(records):
        answers += _Line(call, records[len(answers) :]).follow(timeout, alive)
    return answers


class _Line:
    """Calls one after the other, until one of them takes too long."""

    def __init__(self, call: Call, records: Sequence[Any]) -> None:
        self._call = call
        self._records = records
        self._answers: list[object] = []
        self._ended = threading.Event()
        self._left = False
        self._current = (0, time.monotonic())
        """Which record is called for, and since when: in one, since another thread reads it."""

    def follow(self, timeout: float, alive: Callable[[], object]) -> list[object]:
        """Give the answers up to the end, or up to the one that is late."""
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._work,), name="action-ledger-record", daemon=True
        )
        thread.start()
        try:
            while not self._ended.wait(min(SIGN, timeout)):
                alive()
                at, since = self._current
                if time.monotonic() - since > timeout:
                    return [*self._answers[:at], LATE]
        finally:
            self._left = True
        return self._answers

    def _work(self) -> None:
        for at, record in enumerate(self._records):
            if self._left:
                return
            self._current = at, time.monotonic()
            try:
                answer = self._call(record)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the record's; SystemExit too
                answer = Raised(error)
            self._answers.append(answer)
        self._ended.set()
