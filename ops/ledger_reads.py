"""What a ledger can be asked: previews, lists of executions, schedules, chains, locks and workers, the audit, and histories."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager
from functools import partial
from uuid import UUID

from action_ledger.domain.actions import Actions
from action_ledger.domain.bounds import check_size
from action_ledger.domain.commands import RequestExecution, RequestUndo
from action_ledger.domain.selection import KeyValue
from action_ledger.projections.register import Projections
from action_ledger.projections.store import Store
from action_ledger.workers.previewed import Preview
from action_ledger.workers.undo_previewed import UndoPreview

from .actors import ContactsVerified, verify_contacts
from .chain_views import ChainView, read_chains
from .contexts import context_of
from .database import Database, named
from .direct import Direct
from .history import HistoryEntry, read_history
from .locks import LockView, read_locks
from .previews import look_before_undo, look_first
from .roster import WorkerView, read_workers
from .schedule_views import ScheduleView, Upcoming, read_schedules, read_upcoming
from .settings import Settings
from .views import AuditEntry, ExecutionView, id_of, read_audit, read_executions


class LedgerReads:
    """The reading half of a ledger; what follows the log is brought up to now where that is needed."""

    store: Store
    projections: Projections
    actions: Actions
    settings: Settings
    _database: Database

    def preview(
        self,
        command: RequestExecution,
        *,
        keys: Iterable[KeyValue] | None = None,
        sample: int = 10,
        records: int | None = None,
    ) -> Preview:
        """Do what a command would do, roll it back, and say what came of it; that somebody looked is recorded.

        At most ``records`` are tried. Raises what the command would raise, and PreviewBlocked.
        """
        check_size(command)
        look = partial(look_first, self.store, self.actions, self.settings)
        return look(command, keys=keys, sample=sample, records=records)

    def preview_undo(
        self, command: RequestUndo, *, sample: int = 10, records: int | None = None
    ) -> UndoPreview:
        """Do what an undo would do, roll it back, and say what would come of it. Nothing of it is recorded.

        At most ``records`` are tried. Raises what the undo would raise, and PreviewBlocked.
        """
        check_size(command)
        return look_before_undo(self.store, self.settings, command, sample=sample, records=records)

    def workers(self) -> list[WorkerView]:
        """List the worker processes that are there, and those that were lost lately."""
        return read_workers(self.store)

    def executions(
        self,
        *,
        status: str | None = None,
        actor: str | None = None,
        table: str | None = None,
        limit: int = 20,
    ) -> list[ExecutionView]:
        """List executions, the newest first; of a table as :meth:`Ledger.on` takes it.

        One that is gone or renamed is found under the name that it had. Raises UnknownTable and UnsupportedTable.
        """
        return read_executions(self.store, status=status, actor=actor, table=table, limit=limit)

    def locks(self) -> list[LockView]:
        """List the records that executions and undos have for themselves, or wait for; the oldest first."""
        return read_locks(self.store)

    def chains(self, *, status: str | None = None, limit: int = 20) -> list[ChainView]:
        """List chains, the newest first."""
        return read_chains(self.store, status=status, limit=limit)

    def schedules(self, *, status: str | None = None, limit: int = 20) -> list[ScheduleView]:
        """List schedules, the newest first."""
        return read_schedules(self.store, status=status, limit=limit)

    def upcoming(self, limit: int = 10) -> list[Upcoming]:
        """List what is due next across all active schedules, in the order of time."""
        return read_upcoming(self.store, limit=limit)

    def audit(
        self,
        *,
        execution_id: UUID | str | None = None,
        actor: str | None = None,
        after: int | None = 0,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Read the audit trail from after a position, as new as this call: the follower catches up first.

        With ``after=None`` it is the newest events, in their order all the same.
        """
        self.projections.catch_up()
        wanted = None if execution_id is None else id_of(execution_id)
        return read_audit(self.store, execution_id=wanted, actor=actor, after=after, limit=limit)

    def history(
        self,
        table: str,
        key: object,
        *,
        context: Mapping[str, str] | None = None,
        role: str | None = None,
    ) -> list[HistoryEntry]:
        """Read every change that was made to one record; ``key`` is a tuple where it has several columns.

        With a context, given as in :meth:`Request.context`, every change in it; a table with row-level security wants
        one. Raises ContextRequired.
        """
        return read_history(self.store, table, key, context_of(context, role))

    def verify_contacts(self) -> ContactsVerified:
        """Compare the contact data of actors with the digests in the events: kept, erased, or broken."""
        self.projections.catch_up()
        return verify_contacts(self.store)

    def catch_up(self) -> int:
        """Bring the views that follow up to the head; give the number of events taken in."""
        return self.projections.catch_up()

    @contextmanager
    def apart(self, name: str) -> Generator[Store]:
        """Lend the store over a connection beside the pool, whose session has this name where it can be named."""
        direct = Direct(
            lambda: named(self._database.connect(), name), silence=self.settings.lease_seconds / 2
        )
        with closing(direct):
            yield self.store.over(direct.connection)
