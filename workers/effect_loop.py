"""An event loop for the calls of one unit."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any

LAST_SECONDS = 1.0
"""How long a call that ran out of its time has to end, once all the others have."""

_left_behind: set[asyncio.Task[Any]] = set()
"""Calls that did not end. They are kept, as a hanging thread is: to collect one would be reported as a fault."""


def run_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop here, or beside the caller's own: a host may call ``run()`` from within one."""
    if not _is_within_one():
        asyncio.run(_ended(work))
        return
    faults: list[BaseException] = []
    context = contextvars.copy_context()

    def beside() -> None:
        try:
            asyncio.run(_ended(work))
        except BaseException as error:  # noqa: BLE001 - raised by the caller's thread
            faults.append(error)

    thread = threading.Thread(target=context.run, args=(beside,), name="action-ledger-effects")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]


async def _ended(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Work, and leave calls behind that do not end when they are told to: the loop would wait for them for ever."""
    try:
        await work()
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            _, stubborn = await asyncio.wait(others, timeout=LAST_SECONDS)
            _left_behind.update(stubborn)
            for task in stubborn:
                asyncio._unregister_task(task)  # noqa: SLF001 - documented, for those who make tasks of their own


def _is_within_one() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
