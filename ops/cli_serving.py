"""The worker as a process: signals, a server that is not up yet, and what the exit code says."""

import logging
import signal
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import assert_never

from action_ledger.domain.errors import StoreUnavailable

from .cli_exit_codes import ExitCode
from .cli_terminal import QUIET, WARN, Terminal
from .ledger import Ledger
from .plan import Ended, Plan

FIRST_DELAY, LONGEST_DELAY = 0.5, 10.0


class Signals:
    """What SIGTERM and SIGINT have asked for: the first to end, the second to end at once."""

    def __init__(self, terminal: Terminal) -> None:
        """Watch nothing yet."""
        self._terminal = terminal
        # A plain attribute, not an Event: a handler that takes a lock may wait for the code it has interrupted.
        self.asked = False
        self.serving = False

    @contextmanager
    def watched(self) -> Generator[None]:
        """Watch them; what handled them before does so again at the end."""
        before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.asked or not self.serving:
            raise KeyboardInterrupt
        self.asked = True
        name = signal.Signals(number).name
        self._terminal.note(
            f"{name}: finishing the batch at hand. Once more ends it at once.", WARN
        )


def serve(open_ledger: Callable[[], Ledger], terminal: Terminal, plan: Plan) -> ExitCode:
    """Work until SIGTERM or SIGINT, until nothing is left to do, or until a limit is reached."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    signals = Signals(terminal)
    try:
        with (
            signals.watched(),
            _opened(open_ledger, terminal, patient=not plan.until_idle) as ledger,
        ):
            where = f"queue {', '.join(plan.queues)}" if plan.queues else "every queue"
            terminal.note(f"Worker {plan.name} takes up {where}. Ctrl-C ends it.", QUIET)
            signals.serving = True
            ended = ledger.service(plan).run(lambda: signals.asked)
    except KeyboardInterrupt:
        if signals.serving:
            raise
        ended = Ended.STOPPED  # it had not even begun
    terminal.note("The worker has left, with no work in its hands.", QUIET)
    match ended:
        case Ended.STOPPED | Ended.IDLE:
            return ExitCode.DONE
        case Ended.LIMIT:
            return ExitCode.AGAIN
        case _:
            assert_never(ended)


@contextmanager
def _opened(
    open_ledger: Callable[[], Ledger], terminal: Terminal, *, patient: bool
) -> Generator[Ledger]:
    """Open the ledger; who is patient waits for a server that is not up yet."""
    delay = FIRST_DELAY
    ledger: Ledger | None = None
    while ledger is None:
        try:
            ledger = open_ledger()
        except StoreUnavailable as error:
            if not patient:
                raise
            terminal.note(f"Again in {delay:g} s: {' '.join(str(error).split())}", WARN)
            time.sleep(delay)
            delay = min(LONGEST_DELAY, 2 * delay)
    with ledger:
        yield ledger
