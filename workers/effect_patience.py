"""Tries a step of a unit with an effect again, where what kept it from being made passes by itself."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from psycopg import Error

from action_ledger.domain.errors import StoreUnavailable

from .claim import Unit
from .faults import PATIENT_TRIES, TRIES, is_waited_out, passes

PAUSE, LONGEST_PAUSE = 0.2, 2.0

log = logging.getLogger(__name__)
T = TypeVar("T")


class Leaving(Exception):  # noqa: N818 - it says what happens, as the errors of the domain do
    """The worker is to leave, and others are in the way of the step: whoever comes next can make it."""


def patiently(step: Callable[[], T], unit: Unit, *, leaving: threading.Event | None = None) -> T:
    """Make it; the lease is renewed meanwhile, or it is not, and then it is lost.

    Raises:
        Leaving: Others are in the way, and ``leaving`` is set.
        Error, StoreUnavailable: It does not pass.
    """
    leaving = leaving or threading.Event()
    waits = faults = 0
    while True:
        try:
            return step()
        except (Error, StoreUnavailable) as error:
            others = isinstance(error, Error) and is_waited_out(error)
            waits, faults = waits + others, faults + (not others)
            if not passes(error) or waits == PATIENT_TRIES or faults == TRIES:
                raise
            log.warning("unit %s: %s", unit.unit_id, error)
            leaving.wait(min(LONGEST_PAUSE, PAUSE * (waits + faults)))
            if others and leaving.is_set():
                raise Leaving from error
