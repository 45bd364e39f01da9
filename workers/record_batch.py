"""Does a batch of a record action: page by page it locks, reads, calls the function, and writes what that said.

All of it is in the batch's own transaction, before the append lock. What a page takes of memory is all it takes.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from pydantic_core import to_json

from action_ledger.domain.errors import ActionLedgerError, shown
from action_ledger.domain.event import Tally
from action_ledger.projections.store import Transaction

from .change import ByRecord, Change
from .record_calls import Late, Raised, call_each
from .record_pages import Key, Pages
from .record_writes import SQL, Row, Writes
from .steps import reached
from .write import Owner

PAGE = 500
"""Records that are read, called for and written at a time."""


class Unchanged(NamedTuple):
    """A record that was not changed, and why."""

    position: int
    key: Key
    outcome: str
    reason: str
    message: str | None = None


class RecordBatch:
    """One batch, and what came of its records."""

    def __init__(
        self,
        transaction: Transaction,
        change: Change,
        by_record: ByRecord,
        owner: Owner,
        *,
        divisible: bool,
    ) -> None:
        """``divisible`` as of Slices."""
        self._transaction = transaction
        self._table = change.table
        self._by_record = by_record
        self._owner = owner
        self._divisible = divisible
        self._pages = Pages(transaction, change, owner.batch_id, by_record.action.columns)
        self._writes: dict[tuple[str, ...], Writes | ActionLedgerError] = {}
        self._unchanged: Counter[str] = Counter()
        self._part = self._outcomes = 0

    @property
    def tally(self) -> Tally:
        """What became of the records."""
        told = Tally(failed=self._unchanged["failed"], skipped=self._unchanged["skipped"])
        return sum((writes.slices.tally for writes in self._written), told)

    @property
    def digests(self) -> list[str]:
        """The digests of the change set's parts, in their order."""
        parts = {
            part: digest
            for writes in self._written
            for part, digest in zip(writes.slices.parts, writes.slices.digests, strict=True)
        }
        return [digest for _, digest in sorted(parts.items())]

    @property
    def sqlstates(self) -> Counter[str]:
        """Records that the database refused, by SQLSTATE."""
        return sum((writes.slices.sqlstates for writes in self._written), Counter[str]())

    @property
    def _written(self) -> list[Writes]:
        return [writes for writes in self._writes.values() if isinstance(writes, Writes)]

    def apply(self, lo: int, hi: int) -> None:
        """Do the records number ``lo`` to ``hi``. Raises the driver's error when it concerns more than single ones."""
        limit = self._allow_silence()
        for first in range(lo, hi + 1, PAGE):
            self._do(first, min(first + PAGE - 1, hi))
        self._transaction.execute(SQL["end_silence"], {"limit": limit})
        if self._table.may_follow("update"):
            for writes in self._written:
                writes.slices.read_again()

    def _allow_silence(self) -> str:
        """Let the server wait for a call, and no longer: a worker that is frozen loses its locks all the same."""
        milliseconds = self._by_record.action.timeout * 1_000
        row = self._transaction.execute(
            SQL["allow_silence"], {"milliseconds": milliseconds}
        ).fetchone()
        if row is None:
            message = "a SELECT of one row gives it"
            raise AssertionError(message)
        return str(row["limit"])

    def _do(self, lo: int, hi: int) -> None:
        page = self._pages.read(lo, hi)
        reached("records.locked")
        unchanged = [Unchanged(*each, "skipped", "no_longer_matches") for each in page.others]
        unchanged += [Unchanged(*each, "skipped", "vanished") for each in page.gone]
        answers = call_each(
            self._call,
            [record for *_, record in page.matching],
            timeout=self._by_record.action.timeout,
            alive=lambda: self._transaction.connection.execute(""),
        )
        reached("records.called")
        wanted: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
        for (position, key, _), answer in zip(page.matching, answers, strict=True):
            try:
                why_not = self._why_not(answer)
                if why_not is None:
                    names, row = self._row(key, cast("Mapping[str, Any]", answer))
                    wanted[names].append(row)
                    continue
            except ActionLedgerError as error:
                why_not = ("failed", error.code, str(error))
            unchanged.append(Unchanged(position, key, *why_not))
        for names, rows in wanted.items():
            writes = cast("Writes", self._writes[names])
            self._part, self._outcomes = writes.apply(
                rows, part=self._part, outcomes=self._outcomes
            )
        self._keep(unchanged)
        reached("records.written")

    def _call(self, record: dict[str, Any]) -> object:
        action = self._by_record.action
        answer: object = action.handler(action.given(record), self._by_record.parameters)
        if not isinstance(answer, Mapping):
            return answer
        # Plain here, where whatever a mapping of the host's raises is the record's.
        return {str(name): value for name, value in answer.items()}

    def _why_not(self, answer: object) -> tuple[str, str, str | None] | None:
        """Say what became of a record that is not to be written; None for one that is."""
        match answer:
            case Raised():
                return "failed", "handler_failed", answer.message
            case Late():
                seconds = self._by_record.action.timeout
                return "failed", "timed_out", f"it took longer than {seconds:g} seconds"
            case False:
                return "failed", "handler_refused", None
            case None:
                return "skipped", "unchanged", None
            case Mapping():
                return None if answer else ("skipped", "unchanged", None)
            case _:
                message = f"it returned {shown(answer)}, and not columns with their new values"
                return "failed", "handler_failed", message

    def _row(self, key: Key, changes: Mapping[str, Any]) -> tuple[tuple[str, ...], Row]:
        """Give a record's row, and the columns that say which write it belongs to. Raises what is wrong with it."""
        names = tuple(sorted(changes))
        if names not in self._writes:
            self._writes[names] = self._writes_of(names)
        writes = self._writes[names]
        if isinstance(writes, ActionLedgerError):
            raise writes
        return names, writes.row(key, changes)

    def _writes_of(self, names: tuple[str, ...]) -> Writes | ActionLedgerError:
        try:
            return Writes(
                self._transaction,
                self._table,
                names,
                self._by_record,
                self._owner,
                divisible=self._divisible,
            )
        except ActionLedgerError as error:
            return error

    def _keep(self, unchanged: list[Unchanged]) -> None:
        """List the records of a page that were not changed."""
        if not unchanged:
            return
        values = {
            "owner": self._owner.id,
            "batch_id": self._owner.batch_id,
            "execution_id": self._owner.execution_id,
            "first_part": self._outcomes,
            "unchanged": to_json([each._asdict() for each in unchanged]).decode(),
        }
        self._outcomes += self._transaction.execute(SQL["keep_unchanged"], values).rowcount
        self._unchanged.update(each.outcome for each in unchanged)
