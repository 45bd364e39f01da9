"""Who is in the way of work under way: sessions that hold locks for which the ledger's own sessions wait."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg.errors import InsufficientPrivilege
from pydantic import BaseModel, ConfigDict

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store

from .handle import Handle

SQL = read_blocks("action_ledger.ops", "blockers.sql")


class Blocker(BaseModel):
    """A session that holds a lock. What the role may not see of others' sessions is None."""

    model_config = ConfigDict(frozen=True)

    pid: int
    """0 for a prepared transaction."""
    application: str | None
    login: str | None
    state: str | None
    """``idle in transaction``, ``active`` and so on, as pg_stat_activity has it."""
    seconds: float | None
    """For how long it has been in that state."""
    lock: str
    """What is locked: ``row``, ``table``, or another of the types of pg_locks."""


def read_blockers(store: Store, job_id: UUID) -> list[Blocker]:
    """List who holds what the sessions at work on the table of an execution or an undo have waited a second for.

    As long as nothing is recorded of the job, all sessions of the ledger count. Where the role may not ask, as on a
    server that is hardened, there are none to tell of.
    """
    try:
        with store.transaction() as transaction:
            rows = transaction.execute(SQL["blockers"], {"id": job_id}).fetchall()
    except InsufficientPrivilege:
        return []
    return [Blocker(**row) for row in rows]


class Unrecorded(NamedTuple):
    """A job that a command line is at work on, of which nothing is recorded yet: what fits one batch is when it is done."""

    id: UUID
    blocked_by: list[Blocker]


def read_unrecorded(store: Store) -> list[Unrecorded]:
    """List such jobs, by the names of sessions; each shows a moment after it began."""
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["unrecorded"]).fetchall()
    return [Unrecorded(row["id"], read_blockers(store, row["id"])) for row in rows]


def blockers_of(job: Handle, ended_at: datetime | None) -> list[Blocker]:
    """The same of a job as it was read: in the way of what has ended is nobody."""
    return [] if ended_at is not None else read_blockers(job.ledger.store, job.id)
