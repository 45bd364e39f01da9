"""Admission: whether work on a unit that was claimed may begin now, or other jobs come first."""

from uuid import UUID

from action_ledger.domain.errors import InvalidParameters
from action_ledger.domain.pace import batches_at_once
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .claim import Unit
from .rights import Rights
from .throttle import Throttle

SQL = read_blocks("action_ledger.workers", "pace.sql")


def refuse_pace(action: str, *, rate: object, concurrency: object) -> None:
    """Raise InvalidParameters for what would not hold: no transaction is open while an effect is at work."""
    if rate is not None or concurrency is not None:
        detail = (
            "a rate and a concurrency count batches that are at work in a transaction, and an effect is at work "
            "outside of any; its own concurrency says how many calls of a batch are under way at a time"
        )
        raise InvalidParameters(action=action, detail=detail)


class NotNow(Exception):  # noqa: N818 - it says what is so
    """The unit's job has as many batches at work as it may have, or is held back, or that is to be asked first.

    The claim is rolled back: its row lock would keep the unit from others.
    """


class Admission:
    """Leaves jobs out of one look at the queue, one by one, as they turn out to have no place."""

    def __init__(self, throttle: Throttle | None, rights: Rights | None = None) -> None:
        self._throttle = throttle
        self._rights = rights
        self._granted: set[UUID] = set()
        self._undecided: UUID | None = None
        self._full: list[UUID] = []
        self._unasked: UUID | None = None

    @property
    def left_out(self) -> list[UUID]:
        """The jobs that the next claim is not to look at."""
        return self._full + (self._throttle.held() if self._throttle is not None else [])

    def admit(self, transaction: Transaction, unit: Unit) -> None:
        """Let work on the unit begin, and take its place until the end of the transaction. Raises NotNow."""
        if unit.undo_id is not None:
            return
        if self._throttle is not None and not self._throttle.is_known(unit.job_id):
            self._unasked = unit.job_id
            raise NotNow
        if self._rights is not None and unit.job_id not in self._granted:
            self._undecided = unit.job_id
            raise NotNow
        slots = slots_of(unit)
        if slots is not None and not _take_slot(transaction, unit.job_id, slots):
            self._full.append(unit.job_id)
            raise NotNow

    def ask(self) -> None:
        """Ask the probe, or the host, about the execution whose unit was turned away for it. Not within a transaction.

        What the host grants holds for this one look at the queue: so it is asked for each batch.
        """
        if self._throttle is not None and self._unasked is not None:
            self._throttle.ask(self._unasked)
            self._unasked = None
        if self._rights is not None and self._undecided is not None:
            if self._rights.ask(self._undecided):
                self._granted.add(self._undecided)
            self._undecided = None


def slots_of(unit: Unit) -> int | None:
    """Give how many batches of the unit's job may be at work at a time; None where it has no limit."""
    if unit.kind != "batch":
        return None
    if unit.rate is None:
        return unit.concurrency
    needed = batches_at_once(unit.rate, unit.speed)
    return needed if unit.concurrency is None else min(needed, unit.concurrency)


def _take_slot(transaction: Transaction, job_id: UUID, slots: int) -> bool:
    values = {"schema": transaction.schema_name, "job": str(job_id), "slots": slots}
    return transaction.execute(SQL["take_slot"], values).fetchone() is not None
