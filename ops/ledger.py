"""The ledger: the command API, ``handle``, and the one place where everything is wired; ``on`` begins a command."""

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Self
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import ValidationError

from action_ledger.domain.actions import BUILT_IN, Action, Actions
from action_ledger.domain.actor import Asker
from action_ledger.domain.any_command import AnyCommand
from action_ledger.domain.bounds import check_size
from action_ledger.domain.catch_up import Patience
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.confirmation import ConfirmationPolicy
from action_ledger.domain.errors import LedgerClosed, UnknownTable, shown
from action_ledger.domain.hooks import Hook
from action_ledger.domain.policy import Authorize, Policy
from action_ledger.domain.resource import Resource
from action_ledger.domain.selection import KeyValue
from action_ledger.projections.register import Projections
from action_ledger.workers.conductor import Conductor
from action_ledger.workers.loop import Worker
from action_ledger.workers.scheduler import Scheduler
from action_ledger.workers.throttle import Throttle

from .actors import erase_actor
from .chain_handles import ChainHandle
from .chain_views import chain_id_of
from .checks import check_queues, check_workers
from .database import Database
from .exports import Exports, with_settings
from .handles import ExecutionHandle
from .hooks import H, Hooks
from .inbox import CommandInbox, SeenWithin
from .intake import C, Intake, WayIn
from .ledger_reads import LedgerReads
from .plan import Plan, worker_name
from .schedule_handles import ScheduleHandle
from .schedule_views import schedule_id_of
from .service import Service
from .settings import Settings
from .target import Target
from .views import ExecutionView, Probe, id_of
from .wiring import wired_store
from .within import HostIntake


class Ledger(LedgerReads):
    """One ledger over one database. Thread-safe; close it, or use it in a ``with`` statement."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        actions: Iterable[Action] = (),
        hooks: Mapping[str, Hook] | None = None,
        authorize: Authorize | None = None,
    ) -> None:
        """Wire it over an open pool; ``open_ledger`` is the usual way. Raises InvalidAction for a name that is taken."""
        self.settings = settings
        self.actions = Actions((*with_settings(BUILT_IN, settings), *actions))
        self._database = database
        self._closed = False
        self.store = wired_store(self._lend, settings)
        self.projections = Projections(self.store)
        self.exports = Exports(self.store, settings)
        self.hooks = Hooks(self.store, self.projections, settings, hooks or {}, self.actions)
        self._policy = Policy(settings.limits, authorize, settings.contexts)
        self._intake = Intake(
            self.store,
            self.actions,
            worker=worker_name(),
            lease_seconds=settings.lease_seconds,
            sizes=settings.sizes,
            max_days_ahead=settings.schedule_max_days_ahead,
            policy=self._policy,
            confirmation=settings.confirmation,
        )
        self._way_in: WayIn = self._intake
        self.inbox = CommandInbox(
            self.store, self.actions, self._intake.take_left, silence=settings.lease_seconds / 2
        )
        self._throttle: Throttle | None = None
        self._patience = Patience(
            timedelta(seconds=settings.schedule_grace_seconds), settings.schedule_catch_up_limit
        )

    def on(self, table: str | Resource) -> Target:
        """Begin a command on a table, named as ``schema.table`` or described by a Resource."""
        if isinstance(table, Resource):
            return Target(self, table)
        try:
            return Target(self, Resource(table=table))
        except ValidationError as error:  # no text at all, or none that PostgreSQL can hold
            raise UnknownTable(table=shown(table)) from error

    def handle(
        self, command: AnyCommand, *, now: bool = False, keys: Iterable[KeyValue] | None = None
    ) -> UUID:
        """Take a command in, and give the id of what it became: an execution, an undo, a schedule, a chain.

        A command that steers a schedule gives the schedule's id; one that runs it now, the execution's.

        With ``now`` the execution is planned at once, and applied at once when it fits one batch. ``keys`` travel beside
        a command whose selection is ``Keys(keys=None)``. Sent twice, with one ``command_id``, it is taken in once.
        """
        command = self.named(command)
        self._way_in.accept(command, now=now, keys=keys)
        return command.subject

    def within(self, connection: Connection[Any]) -> Self:
        """Send commands in a transaction of the host's, on its psycopg connection: they stand or fall with that.

        Workers take them in after its COMMIT; until then the handle's status is ``accepted``, and ``rejected`` when
        they turn out to be wrong. What would have to be done at once raises InHostTransaction. The connection's role
        needs the rights that the guide lists.
        """
        inside = copy.copy(self)
        inside._way_in = HostIntake(self.store, self._policy, connection)  # noqa: SLF001 - of its own kind
        inside.inbox = SeenWithin(self.inbox, connection)
        return inside

    def named(self, command: C) -> C:
        """Give a command that has a key (``once``) the id under which that key's command is known, for ever."""
        check_size(command)
        return self._way_in.named(command)

    def run(
        self,
        command: RequestExecution,
        *,
        keys: Iterable[KeyValue] | None = None,
        workers: int = 1,
        watch: Callable[[ExecutionHandle], None] | None = None,
    ) -> ExecutionHandle:
        """Take an execution in and work on it, in this process, until it has ended."""
        check_workers(workers)
        command = self.named(command)
        unfinished = self._way_in.accept(command, now=True, keys=keys)
        execution = ExecutionHandle(self, command.command_id)
        if unfinished:
            execution.finish(workers=workers, watch=watch)
        if self.hooks.concern(command):
            self.hooks.deliver()
        return execution

    def erase_actor(
        self,
        subject: str,
        *,
        issuer: str | None = None,
        by: Asker | None = None,
        reason: str | None = None,
    ) -> int:
        """Delete from where an actor asked, and give of how many commands that was; events and ids stay as they are."""
        return erase_actor(self, subject, issuer=issuer, by=by, reason=reason)

    def ask_to_confirm(self, policy: ConfirmationPolicy) -> None:
        """Let another policy than that of the settings say which executions have to be confirmed."""
        self._intake.confirmation = policy

    def worker(self, *, queues: Iterable[str] | None = None) -> Worker:
        """Make a worker on this ledger; None takes up any queue."""
        return Worker(
            self.store,
            self.actions,
            name=worker_name(),
            queues=None if queues is None else list(queues),
            lease_seconds=self.settings.lease_seconds,
            batch_timeout=self.settings.batch_timeout_seconds or None,
            sizes=self.settings.sizes,
            throttle=self._throttle,
            policy=self._policy,
        )

    def throttle(self, probe: Probe | None) -> None:
        """Let a function of yours hold executions back: it gives the reason, or None to let one go on.

        The workers of this ledger ask it before they take up work, every two seconds for each execution. While there
        is a reason, it stands in ``progress().held``. One that raises or takes too long holds nothing back.
        """
        self._throttle = (
            None
            if probe is None
            else Throttle(self.store, lambda row: probe(ExecutionView.of(dict(row), undone=0)))
        )
        self._intake.at_once = probe is None

    def scheduler(self) -> Scheduler:
        """Make what fires schedules that are due; a worker's loop calls it between two units."""
        return Scheduler(
            self.store,
            self.actions,
            name=worker_name(),
            lease_seconds=self.settings.lease_seconds,
            patience=self._patience,
            policy=self._policy,
        )

    def conductor(self) -> Conductor:
        """Make what moves chains on, from one step to the next; a worker's loop calls it between two units."""
        return Conductor(
            self.store,
            self.actions,
            name=worker_name(),
            lease_seconds=self.settings.lease_seconds,
            policy=self._policy,
        )

    def chain(self, chain_id: UUID | str) -> ChainHandle:
        """Give the handle of a chain. Raises ChainNotFound for what is no id."""
        return ChainHandle(self, chain_id_of(chain_id))

    def hook(self, name: str) -> Callable[[H], H]:
        """Let the decorated function be called under a name that requests give to ``.notify(...)``."""
        return lambda function: self.hooks.register(name, function)

    def schedule(self, schedule_id: UUID | str) -> ScheduleHandle:
        """Give the handle of a schedule. Raises ScheduleNotFound for what is no id."""
        return ScheduleHandle(self, schedule_id_of(schedule_id))

    def execution(self, execution_id: UUID | str) -> ExecutionHandle:
        """Give the handle of an execution, which is looked for when the handle is asked something.

        Raises ExecutionNotFound for what is no id.
        """
        return ExecutionHandle(self, id_of(execution_id))

    def service(self, plan: Plan | None = None) -> Service:
        """Make the worker as a service, as ``action-ledger worker`` runs it; by default for every queue.

        Raises:
            InvalidValue: No queue can have a name that the plan serves.
        """
        plan = plan or Plan(name=worker_name())
        check_queues(plan.queues or ())
        return Service(
            self._database,
            self.store,
            self.actions,
            self.settings,
            plan,
            throttle=self._throttle,
            patience=self._patience,
            hooks=self.hooks,
            inbox=self.inbox.over,
            policy=self._policy,
        )

    def work(
        self,
        stop: Callable[[], bool],
        *,
        queues: Iterable[str] | None = None,
        concurrency: int = 1,
    ) -> None:
        """Take up whatever is open, and follow the log, until ``stop`` says so. Leaves between two units.

        ``queues`` are served in their order; ``concurrency`` units are worked on at once. An outage of the database
        is waited out.

        Raises:
            WorkerFailed: A thread failed again and again.
        """
        served = None if queues is None else list(queues)
        self.service(Plan(name=worker_name(), queues=served, concurrency=concurrency)).run(stop)

    def close(self) -> None:
        """Close the connections; what is asked afterwards raises LedgerClosed.

        The embedded server stays up for others, and stops with the last process that uses it.
        """
        if self._way_in is not self._intake:
            return  # the ledger as it is in a host's transaction is not the host's to close
        self._closed = True
        self._database.close()

    def _lend(self) -> AbstractContextManager[Connection[DictRow]]:
        if self._closed:
            raise LedgerClosed
        return self._database.connection()

    def __enter__(self) -> Self:
        """Use it as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
