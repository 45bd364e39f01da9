"""A process whose wall clock is a day off; all else of it is as ever. It wants Debian's package `faketime`.

It is as on a machine whose clock is set: the clock that waits go by goes on. libfaketime would else let a timed wait of
a thread never end, so that no lease is renewed; and 0.9.10 then refuses ``time.sleep``, which is another wait here.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from action_ledger.domain.columns import col
from action_ledger.domain.confirmation import ConfirmationPolicy
from action_ledger.domain.errors import ActionLedgerError
from action_ledger.domain.hooks import Notice
from action_ledger.ops import Ledger, open_ledger
from tests.faults import injected, not_here

SHIFTS = ["+1d", "-1d"]
SLEEPS = "import threading, time; time.sleep = lambda seconds: threading.Event().wait(seconds)\n"
"""What a program begins with that is to sleep by another clock."""
STEADY = {"DONT_FAKE_MONOTONIC": "1"}
"""What its environment has."""
A_DAY = 86_400
NEAR = 3_600
"""Seconds by which two readings of one clock may be apart."""
PROGRAM = SLEEPS + "import sys; from tests.other_clock import obey; obey(sys.argv[1])"

There = Callable[..., Any]


def faketime(shift: str) -> list[str]:
    """Give what a command begins with whose clock is to be off by as much."""
    if shutil.which("faketime") is None:
        not_here(10, "wants Debian's package faketime")
    return ["faketime", "-f", shift]


@contextmanager
def elsewhere(url: str, shift: str, **settings: object) -> Generator[There]:
    """Start a process that does tasks, one after the other; gives the function that lets it do one.

    That gives the task's result, or ``refused`` and what the refusal says.
    """
    environment = {
        **os.environ,
        **STEADY,
        **{f"ACTION_LEDGER_{name.upper()}": str(value) for name, value in settings.items()},
    }
    command = [*faketime(shift), sys.executable, "-c", PROGRAM, url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        asking, answering = process.stdin, process.stdout

        def there(task: str, *arguments: object) -> Any:
            asking.write(json.dumps([task, *arguments], default=str) + "\n")
            asking.flush()
            return json.loads(answering.readline())

        try:
            off = there("clock") - time.time()
            assert abs(off - (A_DAY if shift == "+1d" else -A_DAY)) < NEAR
            injected(10)
            yield there
        finally:
            asking.close()
            process.wait(30)


def obey(url: str) -> None:
    """Do what is asked for on the input, a line each."""
    with open_ledger(url) as ledger:
        for line in sys.stdin:
            task, *arguments = json.loads(line)
            try:
                told = TASKS[task](ledger, *arguments)
            except ActionLedgerError as error:
                told = {"refused": error.code, "reason": getattr(error, "reason", None)}
            sys.stdout.write(json.dumps(told, default=str) + "\n")
            sys.stdout.flush()


def _request(ledger: Ledger, days: float = 7) -> Any:
    added = ledger.on("places").all().update(score=col("score") + 1)
    return added.by("user:1").undoable(days=days)


def _run(ledger: Ledger, days: float) -> Any:
    return _request(ledger, days).run().id


def _undo(ledger: Ledger, execution: str) -> Any:
    return ledger.execution(execution).undo(by="user:2").run().status


def _preview(ledger: Ledger) -> Any:
    found = _request(ledger).preview()
    return {"token": found.token, "expires_at": found.expires_at.timestamp()}


def _confirm(ledger: Ledger, token: str, seconds: float) -> Any:
    ledger.ask_to_confirm(ConfirmationPolicy(ttl_seconds=seconds))
    return _request(ledger).confirm(token).run().status


def _schedule(ledger: Ledger, at: str | None) -> Any:
    rule = {"cron": "0 * * * *", "timezone": "UTC"} if at is None else {"at": at}
    return _request(ledger).schedule(**rule).view().due_at.timestamp()


def _deliver(ledger: Ledger) -> Any:
    if "told" not in ledger.hooks:
        ledger.hooks.register("told", _told)
    return ledger.hooks.deliver()


def _told(_: Notice) -> None:
    """Be told, which takes two seconds."""
    time.sleep(2)


TASKS: dict[str, Callable[..., Any]] = {
    "clock": lambda _: time.time(),
    "run": _run,
    "undo": _undo,
    "preview": _preview,
    "confirm": _confirm,
    "schedule": _schedule,
    "deliver": _deliver,
}
