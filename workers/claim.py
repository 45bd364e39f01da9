"""Claims: taking one unit of work off the queue, and putting it off when it met a fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from action_ledger.domain.errors import UnknownAction
from action_ledger.domain.event import Metadata
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

SQL = read_blocks("action_ledger.workers", "queue.sql")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of work as it was claimed: planning, a batch, or a compensation."""

    unit_id: UUID
    kind: str
    job_id: UUID
    execution_id: UUID
    undo_id: UUID | None
    batch_id: UUID | None
    records: int
    attempt: int
    faults: int
    number: int | None
    batch_version: int | None
    epoch: int | None
    """How many leases the batch has had; None for planning."""
    leased_by: str | None
    """Who held the last one and let it run out."""
    action: str
    table_name: str
    batch_size: int
    planning: str
    status: str
    actor: str
    queue: str
    correlation_id: UUID
    traceparent: str | None
    policy: str | None
    of_undo: UUID | None
    rate: float | None
    concurrency: int | None
    speed: float | None
    """Records a second of its execution's batches, as far as anybody measured it."""
    paced: bool
    """Whether anything is kept of its execution's pace."""

    @property
    def metadata(self) -> Metadata:
        """What the events of this unit carry: the request's actor and trace."""
        return Metadata(
            actor=self.actor,
            correlation_id=self.correlation_id,
            causation_id=self.job_id,
            traceparent=self.traceparent,
        )


def claim(
    transaction: Transaction,
    *,
    job: UUID | None,
    queues: Sequence[str] | None,
    actions: Sequence[str],
    without: Sequence[UUID] = (),
) -> Unit | None:
    """Take one unit, of a job or of any but some, without waiting for those that others work on.

    Only of actions that the worker knows: another one, of a host that has registered more, does the others.
    """
    wanted = {
        "job": job,
        "queues": None if queues is None else list(queues),
        "actions": list(actions),
        "without": list(without),
    }
    jobs = transaction.compose(SQL["any_job" if job is None else "one_job"])
    statement = transaction.compose(SQL["claim"], jobs=jobs)
    row: Any = transaction.cursor.execute(statement, wanted).fetchone()
    return None if row is None else Unit(**row)


def postpone(
    transaction: Transaction, unit: Unit, *, error: str, delay: float, own: bool = True
) -> bool:
    """Let a unit be tried again ``delay`` seconds from now; ``own`` counts against its few tries.

    False when another has taken it up, or ended it, meanwhile.
    """
    values = {"unit_id": unit.unit_id, "error": error, "delay": delay, "own": own}
    return transaction.execute(SQL["postpone"], values).rowcount > 0


class Standing(StrEnum):
    """What there is to be done of a job, at the moment."""

    DONE = "done"
    """Nothing: it has ended, or it is paused."""
    OPEN = "open"
    WAITING = "waiting"
    """An execution whose records others have."""
    ROLLING_BACK = "rolling_back"
    """An execution whose own undo is to be worked on, or to be asked for."""
    CLOSED = "closed"
    """An execution that has ended, and of which a unit is on the queue still: its holder takes it off, or a sweep."""


def standing_of(transaction: Transaction, job: UUID, actions: Sequence[str]) -> Standing:
    """Say what is to be done of an execution or an undo.

    Raises UnknownAction where all that is left of it wants an action that is not among these, and nobody is at it.
    """
    values = {"job": job, "actions": list(actions)}
    row = transaction.execute(SQL["standing"], values).fetchone()
    if row is None:
        return Standing.DONE
    if row["standing"] == "unknown":
        raise UnknownAction(action=row["action"], known=tuple(sorted(actions)))
    return Standing(row["standing"])


def is_known(transaction: Transaction, command_id: UUID) -> bool:
    """Say whether a command is in the ledger: this answers a COMMIT whose own answer was lost.

    It asks by taking the command's place, in a savepoint that is rolled back: so it waits for a transaction that
    is still on its way to the ledger, where a look would miss it and the caller would be told a lie.
    """
    with transaction.connection.transaction(force_rollback=True):
        row = transaction.execute(SQL["take_place"], {"command_id": command_id}).fetchone()
    return row is None


def holds(transaction: Transaction, unit: Unit) -> bool:
    """Take a unit's row lock again, in a new transaction; False when it is done, or in other hands."""
    return transaction.execute(SQL["hold"], {"unit_id": unit.unit_id}).fetchone() is not None
