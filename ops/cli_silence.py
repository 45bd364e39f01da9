"""Says on stderr that the database does not answer, and when it does again: a script has nothing else to see it by."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

from .cli_state import say_error
from .cli_terminal import WARN, Terminal

AFTER = 2.0
"""Seconds without an answer before it is told."""


class Silence:
    """Watches over looks at the database, one after the other."""

    def __init__(self, terminal: Terminal) -> None:
        """Tell nothing yet."""
        self._terminal = terminal
        self._told = False

    @contextmanager
    def broken(self) -> Generator[None]:
        """Make one look in this block. What it raises is left to be told by whoever meets it."""
        began = time.monotonic()
        timer = threading.Timer(AFTER, self._tell)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if self._told:
            self._told = False
            seconds = time.monotonic() - began
            self._say("answers_again", f"The database answers again, after {seconds:.0f} s.")

    def _tell(self) -> None:
        self._told = True
        self._say(
            "no_answer", f"The database does not answer (for {AFTER:.0f} s by now); still waiting."
        )

    def _say(self, code: str, text: str) -> None:
        if self._terminal.as_json:
            say_error({"code": code, "message": text}, as_json=True)
        else:
            self._terminal.note(text, WARN)
