"""An event loop for the calls of one unit."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any


def run_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop here, or beside the caller's own: a host may call ``run()`` from within one."""
    if not _is_within_one():
        asyncio.run(work())
        return
    faults: list[BaseException] = []
    context = contextvars.copy_context()

    def beside() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # noqa: BLE001 - raised by the caller's thread
            faults.append(error)

    thread = threading.Thread(target=context.run, args=(beside,), name="action-ledger-effects")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]


def _is_within_one() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
