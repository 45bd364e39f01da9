"""What a worker's service is to do, and why it ended."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Ended(StrEnum):
    """Why a service ended."""

    STOPPED = "stopped"
    IDLE = "idle"
    LIMIT = "limit"
    """It has done its units, or takes more memory than it may: to be started again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a service is to do. ``queues`` in the order in which they are served; None is every queue."""

    name: str
    queues: Sequence[str] | None = None
    concurrency: int = 1
    until_idle: bool = False
    max_units: int | None = None
    max_memory: int | None = None
    """In megabytes of the whole process, as the system counts it."""


def worker_name() -> str:
    """Name this process, for people who look for it."""
    return f"{socket.gethostname()}:{os.getpid()}"
