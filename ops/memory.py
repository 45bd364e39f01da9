"""How much memory this process takes, as the system counts it."""

import os
import resource
import sys
from pathlib import Path

MEGABYTE = 1024 * 1024
_NOW = Path("/proc/self/statm")
_UNIT = 1 if sys.platform == "darwin" else 1024


def resident_megabytes() -> float:
    """Give the megabytes that are resident now; where the system does not say, the most there ever were."""
    try:
        pages = int(_NOW.read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / MEGABYTE
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
