"""The end of a transaction: its COMMIT is a statement of its own in a trace, with the SQLSTATE that it may end with."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext

from psycopg import Connection
from psycopg.rows import DictRow

from . import tracing


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
