"""The worker as a process: takes units until it is told to stop, and lives through the loss of its connection."""

import signal
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType

from psycopg import OperationalError

from action_ledger.domain.errors import StoreUnavailable

from .cli_exit_codes import ExitCode
from .cli_lookup import count_open
from .cli_terminal import QUIET, WARN, Terminal
from .ledger import Ledger, worker_name

IDLE_SECONDS = 0.05
FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0


def serve(
    ledger: Ledger, terminal: Terminal, *, queues: Sequence[str] | None, until_idle: bool
) -> ExitCode:
    """Work until SIGTERM or SIGINT, or until nothing is left to do."""
    stop = threading.Event()
    where = f"queue {', '.join(queues)}" if queues else "every queue"
    terminal.note(f"Worker {worker_name()} takes up {where}. Ctrl-C ends it.", QUIET)
    with _stopping(stop, terminal):
        if until_idle:
            _until_idle(ledger, stop, queues)
        else:
            _for_ever(ledger, terminal, stop, queues)
    terminal.note("The worker has left, with no work in its hands.", QUIET)
    return ExitCode.DONE


def _for_ever(
    ledger: Ledger, terminal: Terminal, stop: threading.Event, queues: Sequence[str] | None
) -> None:
    delay = FIRST_DELAY
    while not stop.is_set():
        started = time.monotonic()
        try:
            ledger.work(stop.is_set, queues=queues)
        except (OperationalError, StoreUnavailable) as error:
            if time.monotonic() - started > LONGEST_DELAY:
                delay = FIRST_DELAY
            said = " ".join(str(error).split())
            terminal.note(f"The store is out of reach, again in {delay:g} s: {said}", WARN)
            stop.wait(delay)
            delay = min(LONGEST_DELAY, 2 * delay)


def _until_idle(ledger: Ledger, stop: threading.Event, queues: Sequence[str] | None) -> None:
    """Work until the queues are empty; units that others hold, or that wait for another try, are waited for."""
    worker, scheduler = ledger.worker(queues=queues), ledger.scheduler()
    while not stop.is_set():
        if scheduler.look() | worker.step():
            continue
        if count_open(ledger.store, queues) == 0:
            break
        stop.wait(IDLE_SECONDS)
    ledger.catch_up()


@contextmanager
def _stopping(stop: threading.Event, terminal: Terminal) -> Generator[None]:
    """Let the first signal ask for the end, and the second take it: what was not committed is undone then."""

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        name = signal.Signals(number).name
        terminal.note(f"{name}: finishing the batch at hand. Once more ends it at once.", WARN)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
