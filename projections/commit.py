"""The ends of a transaction and of its parts: the COMMIT, a statement of its own in a trace, and what comes after it."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, suppress

from psycopg import Connection, Error
from psycopg.rows import DictRow

from . import tracing
from .span import safely

# Each is sent as it is, as one message: psycopg's own blocks take one for each statement.
BEGIN, END = "SAVEPOINT part", "RELEASE part"
SETTLE = f"SET CONSTRAINTS ALL IMMEDIATE; {END}"
UNDO = f"ROLLBACK TO part; {END}"


class AfterCommit:
    """What waits for a transaction to have committed: to count it earlier would count what is rolled back."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, step: Callable[[], object]) -> None:
        """Let a step wait."""
        self._steps.append(step)

    @contextmanager
    def part(self) -> Generator[None]:
        """Drop the steps of a part that is rolled back by itself."""
        kept = len(self._steps)
        try:
            yield
        except BaseException:
            del self._steps[kept:]
            raise

    def clear(self) -> None:
        """Drop all steps."""
        self._steps.clear()

    def run(self) -> None:
        """Do the steps, in their order. One that fails is logged: what is committed stays committed."""
        for step in self._steps:
            safely(step)


@contextmanager
def committing(connection: Connection[DictRow], *, records: Callable[[], bool]) -> Generator[None]:
    """Begin, and commit at the end, with a span if it then ``records`` something; an exception rolls back.

    Looks and idle claims have no such span: there are far more of them than of what anybody wants to see.
    """
    block = connection.transaction()
    block.__enter__()
    try:
        yield
    except BaseException:
        if not block.__exit__(*sys.exc_info()):
            raise
    else:
        with tracing.statement("COMMIT") if records() else nullcontext():
            block.__exit__(None, None, None)


@contextmanager
def savepoint(connection: Connection[DictRow], *, settled: bool) -> Generator[None]:
    """Make a part of a transaction all or nothing; ``settled`` checks deferred constraints at its end."""
    connection.execute(BEGIN, prepare=False)
    try:
        yield
        connection.execute(SETTLE if settled else END, prepare=False)
    except BaseException:
        with suppress(Error):  # a connection that is lost says so by the error at hand
            connection.execute(UNDO, prepare=False)
        raise
