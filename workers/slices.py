"""Applies a batch so that a bad record does not sink the others: it is found by halving.

One bad record among n costs about 2 log2(n) statements. Each try is a savepoint in which deferred constraints
are checked too, so nothing is left that could fail at COMMIT.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from psycopg import Error
from psycopg.errors import ForeignKeyViolation, UniqueViolation

from action_ledger.domain.event import Tally
from action_ledger.projections.store import Transaction

from .faults import Scope, scope_of, split_reason
from .statements import SQL
from .write import ChangedElsewhere, Written, refusal_of
from .writer import Writer


class Slices:
    """Runs a writer over all planned records of a batch, and counts what came of them."""

    def __init__(
        self,
        transaction: Transaction,
        writer: Writer,
        *,
        divisible: bool = False,
        unhindered: bool = False,
        most_failures: int | None = None,
        referring: bool = False,
    ) -> None:
        """``divisible`` says that the batch can be split, so that what is too large for one is not for it to do.

        ``unhindered`` says that no statement waited for others when it ran out of time: the record did that. With
        ``most_failures`` the batch is given up, by the driver's error, when more records fail. ``referring`` says that
        what they refer to may come back yet: so a foreign key that has no row to refer to ends it, by that error.
        """
        self._divisible = divisible
        self._unhindered = unhindered
        self._most_failures = most_failures
        self._referring = referring
        self._transaction = transaction
        self._writer = writer
        self._digests: dict[int, str] = {}
        self._digests_of_children: dict[int, str] = {}
        self.reached: Counter[str] = Counter()
        """How many rows of each table were taken along and captured."""
        self.applied = 0
        self.failed = 0
        self.reasons: Counter[str] = Counter()
        self.sqlstates: Counter[str] = Counter()
        self.inexact = False

    @property
    def tally(self) -> Tally:
        """What became of the records so far."""
        return Tally(applied=self.applied, failed=self.failed, skipped=self.reasons.total())

    @property
    def digests(self) -> list[str]:
        """The digests of the change set's parts, in their order."""
        every = self.digests_by_part
        return [every[part] for part in sorted(every)]

    @property
    def digests_by_part(self) -> dict[int, str]:
        """The same by the numbers of the parts."""
        return {**self._digests, **self._digests_of_children}

    @property
    def parts(self) -> list[int]:
        """The numbers of those parts that hold the planned records."""
        return list(self._digests)

    def apply(self, lo: int, hi: int, *, records: int | None = None) -> None:
        """Change the records number ``lo`` to ``hi``, both included; ``records`` says how many lie there, if not all.

        Raises the driver's error when it concerns more than single records.
        """
        if hi < lo:
            return
        there = hi - lo + 1 if records is None else records
        try:
            with self._transaction.savepoint(settled=True):
                written = self._writer.apply(lo, hi)
                missed: dict[str, int] = {}
                if written.records < there:
                    self._transaction.cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                    missed = self._writer.record_missed(lo, hi)
        except (Error, ChangedElsewhere) as error:
            if isinstance(error, Error) and not self._is_of_records(error, alone=lo == hi):
                raise
            if lo == hi:
                self._fail(lo, error)
                return
            if isinstance(error, UniqueViolation) and self._writer.order(lo, hi):
                self.apply(lo, hi)
                return
            middle = (lo + hi) // 2
            halves = [(lo, middle), (middle + 1, hi)]
            for half in reversed(halves) if self._writer.direction == "up" else halves:
                self.apply(*half)
            return
        self.count(written)
        self.reasons.update(missed)

    def count(self, written: Written) -> None:
        """Count what was written, here or elsewhere."""
        self.applied += written.records
        self.inexact = self.inexact or written.inexact
        if written.digest is not None:
            self._digests[written.part] = written.digest
        for child in written.children:
            self._digests_of_children[child.part] = child.digest
            self.reached[child.table] += child.records

    def read_again(self) -> None:
        """Let the after-images be what the rows are by now. Nothing may write to them after this."""
        for part in self._digests:
            digest = self._writer.read_again(part)
            if digest is not None:
                self._digests[part] = digest
                self.inexact = True

    def _is_of_records(self, error: Error, *, alone: bool) -> bool:
        if self._referring and isinstance(error, ForeignKeyViolation):
            return False
        reason = split_reason(error, ordered=False)
        if reason == "timed_out":
            return alone and self._unhindered
        if reason == "too_large" and self._divisible and not alone:
            return False
        return scope_of(error) is Scope.RECORD

    def _fail(self, at: int, error: Error | ChangedElsewhere) -> None:
        if self.failed == self._most_failures:
            raise error
        refusal = refusal_of(error)
        self._writer.record_failed(at, refusal)
        self.failed += 1
        self.sqlstates[refusal.sqlstate] += 1


def digest_of(parts: Sequence[str]) -> str | None:
    """Give the digest of a change set: that of its one part, or SHA-256 over those of its parts."""
    if len(parts) <= 1:
        return parts[0] if parts else None
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def outcomes_digest_of(transaction: Transaction, owner: UUID, behind: int) -> str | None:
    """Give the digest over what is kept of records that stayed behind; None where none did."""
    if not behind:
        return None
    row = transaction.execute(SQL["outcomes_digest"], {"owner": owner}).fetchone()
    return None if row is None else str(row["digest"])
