"""Looks at the database beside a run: tells that it does not answer, and for whom the work waits.

In a thread and on a connection of its own, since those of the run may be just what waits. The name of its session tells
others that somebody is at work on the job.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress

import psycopg

from action_ledger.domain.errors import StoreUnavailable
from action_ledger.projections.store import Store

from .blockers import SQL, Blocker, read_blockers
from .cli_silence import Silence
from .cli_terminal import Terminal
from .handle import Handle

FIRST = 0.3
"""Seconds before the first look: what is done sooner needs none."""
EVERY = 1.0
AGAIN = 0.2
"""Seconds between tries to reach a server that is away."""
LEAVING = 1.0
"""Seconds for which the end of a look is waited for, when the run is over."""

See = Callable[[list[Blocker]], None]


class _Over(Exception):  # noqa: N818 - not a fault
    """Ends a look when the run is over."""


@contextmanager
def looking_on(terminal: Terminal, job: Handle, see: See) -> Generator[None]:
    """Look on while this block works on an execution or an undo; ``see`` is given who is in the way."""
    over = threading.Event()
    with job.ledger.apart(_name(job)) as store:

        def look() -> None:
            silence, pause, known = Silence(terminal), FIRST, False
            while not over.wait(pause):
                # A server that gave no connection yet may have none to spare: that is no outage.
                with suppress(_Over), silence.broken() if known else nullcontext():
                    see(_read(store, job, over))
                    known = True
                pause = EVERY

        thread = threading.Thread(target=look, name="action-ledger-lookout", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(LEAVING)


def is_looked_on(job: Handle) -> bool:
    """Say whether another command line is at work on an execution or an undo; it shows a moment after it began."""
    with job.ledger.store.transaction() as transaction:
        rows = transaction.execute(SQL["looked_on"], {"name": _name(job)})
        return rows.fetchone() is not None


def _name(job: Handle) -> str:
    return f"action-ledger run {job.id}"


def _read(store: Store, job: Handle, over: threading.Event) -> list[Blocker]:
    """Read who is in the way, as soon as the server answers. Raises _Over."""
    while True:
        try:
            return read_blockers(store, job.id)
        except (psycopg.OperationalError, StoreUnavailable):
            if over.wait(AGAIN):
                raise _Over from None
        except psycopg.Error:  # whatever it is, the run itself will meet it, or need not care
            return []
