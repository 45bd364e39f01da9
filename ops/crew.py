"""Several workers in one process, on one job: the caller's own thread, and helpers that leave when it stops."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

Watch = Callable[[Any], None]


class _Left(Exception):  # noqa: N818 - not a fault
    """Ends a helper whose caller has stopped."""


def finish_together(
    finish: Callable[[Watch | None], None], *, workers: int, watch: Watch | None
) -> None:
    """Call ``finish`` in so many threads at once, the caller's among them; ``watch`` is called in that one."""
    stop = threading.Event()

    def leave_when_told(_: object) -> None:
        if stop.is_set():
            raise _Left

    def help_out() -> None:
        with suppress(_Left):
            finish(leave_when_told)

    with ThreadPoolExecutor(workers - 1, thread_name_prefix="action-ledger") as pool:
        helpers = [pool.submit(help_out) for _ in range(workers - 1)]
        try:
            finish(watch)
        except BaseException:
            stop.set()  # Ctrl-C too: the helpers end the batch at hand, not the whole job
            raise
        for helper in helpers:
            helper.result()
