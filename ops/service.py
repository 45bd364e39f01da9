"""The worker as a service: worker threads, a follower and an attendant over one ledger, until told to stop.

Each thread has a connection of its own, straight to the server, and outlives the loss of it: see ``guard``.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from action_ledger.domain.actions import Actions
from action_ledger.domain.catch_up import Patience
from action_ledger.domain.commands import DAY
from action_ledger.domain.errors import StoreUnavailable, WorkerFailed
from action_ledger.domain.policy import EVERYTHING_GOES, Policy
from action_ledger.projections.register import Projections
from action_ledger.projections.store import Store
from action_ledger.workers.conductor import Conductor
from action_ledger.workers.inbox import Inbox
from action_ledger.workers.keeper import Keeper
from action_ledger.workers.loop import Worker
from action_ledger.workers.scheduler import Scheduler
from action_ledger.workers.throttle import Throttle

from .attendant import Attendant
from .bell import Bell
from .database import Database
from .direct import Direct
from .guard import OUTAGES, Guard
from .hooks import Hooks
from .memory import resident_megabytes
from .outage import Outage
from .plan import Ended, Plan
from .roster import Entry, WorkerState
from .settings import Settings
from .views import count_open
from .waits_told import WaitsTold

FOLLOW_SECONDS = 1.0
"""How far the views that follow may fall behind workers that are never idle."""
FOLLOW_PAUSE = 0.1
CHECK_SECONDS = 0.2
"""How often it is asked whether to stop, and whether all is done."""
LAST_SECONDS = 5.0
"""How long the follower, and after ``cut`` every thread, has to come to its end."""

log = logging.getLogger(__name__)


class Service:
    """Works on what is submitted. ``run`` it once; ``stop`` may be called from any thread."""

    def __init__(
        self,
        database: Database,
        store: Store,
        actions: Actions,
        settings: Settings,
        plan: Plan,
        *,
        throttle: Throttle | None = None,
        patience: Patience,
        hooks: Hooks,
        inbox: Callable[[Store], Inbox],
        policy: Policy = EVERYTHING_GOES,
    ) -> None:
        """Open nothing yet."""
        self.plan = plan
        self._store, self._actions = store, actions
        self._outage = Outage()
        self._patience = settings.pool_timeout_seconds if plan.until_idle else float("inf")
        self._work, self._news, self._told = Bell(), Bell(), Bell()
        self._stopping, self._over = threading.Event(), threading.Event()
        self._ended = Ended.STOPPED
        self._fault: BaseException | None = None
        self._begun = self._kept = False
        self._guard = Guard(plan.name, met=self._met, fail=self._fail)
        self._directs = [
            Direct(database.connect, silence=settings.lease_seconds / 2)
            for _ in range(plan.concurrency + 4)
        ]
        *theirs, keeps, followed, told, attended = self._directs
        self._workers = [
            Worker(
                store.over(direct.connection),
                actions,
                name=plan.name,
                queues=plan.queues,
                lease_seconds=settings.lease_seconds,
                batch_timeout=settings.batch_timeout_seconds or None,
                sizes=settings.sizes,
                throttle=throttle,
                policy=policy,
                leaving=self._stopping,
            )
            for direct in theirs
        ]
        kept = store.over(keeps.connection)
        lease = settings.lease_seconds
        self._keeper = Keeper(
            kept,
            inbox(kept),
            Scheduler(
                kept, actions, name=plan.name, lease_seconds=lease, patience=patience, policy=policy
            ),
            Conductor(kept, actions, name=plan.name, lease_seconds=lease, policy=policy),
            file_seconds=settings.export_retention_days * DAY,
            rejected_seconds=settings.rejected_retention_days * DAY,
        )
        self._waits = WaitsTold(kept, self._workers)
        self._caller = hooks.caller(store.over(told.connection))
        self._last_caller = hooks.caller()
        self._keep_seconds = lease
        self._projections = Projections(store.over(followed.connection))
        self._attendant = Attendant(
            attended,
            store.schema,
            Entry(store.schema, name=plan.name, queues=plan.queues, lease_seconds=lease),
            self._workers,
            state=self._state,
            work=self._work,
            news=self._news,
            listen=settings.listen,
            poll_seconds=min(settings.poll_seconds, CHECK_SECONDS)
            if plan.until_idle
            else settings.poll_seconds,
            beat_seconds=settings.lease_seconds,
        )

    def run(self, stop: Callable[[], bool] = lambda: False) -> Ended:
        """Serve until ``stop`` says so, and say why it ended. Each thread finishes its batch, then leaves.

        An exception in this thread, such as KeyboardInterrupt, ends all at once: what was not committed is undone.

        Raises:
            WorkerFailed: A thread failed again and again.
            StoreUnavailable: The store stays out of reach of a service that ends when it is idle.
        """
        workers = [
            self._guard.thread(f"worker-{number}", partial(self._labour, worker), self._stopping)
            for number, worker in enumerate(self._workers, 1)
        ]
        others = [
            self._guard.thread("keeper", self._keep, self._stopping),
            self._guard.thread("follower", self._follow, self._over),
            self._guard.thread("hooks", self._tell, self._over),
            self._guard.thread("attendant", self._attendant.attend, self._over),
        ]
        try:
            for thread in (*workers, *others):
                thread.start()
            self._watch(stop)
            while any(thread.is_alive() for thread in workers):
                self._over.wait(0.05)
        except BaseException:
            self.stop()
            for direct in self._directs[:-1]:
                direct.cut()
            raise
        finally:
            self._end((*workers, *others))
        if isinstance(self._fault, StoreUnavailable):
            raise self._fault
        if self._fault is not None:
            raise WorkerFailed(reason=repr(self._fault)) from self._fault
        return self._ended

    def stop(self, why: Ended = Ended.STOPPED) -> None:
        """Let each thread finish its batch and leave."""
        if not self._stopping.is_set():
            self._ended = why
            self._stopping.set()
            self._work.ring()
            self._attendant.nudge()

    def _watch(self, stop: Callable[[], bool]) -> None:
        """Wait until it is told to stop, or all is done."""
        while not self._stopping.wait(CHECK_SECONDS):
            if stop():
                self.stop()
            elif self.plan.until_idle and self._all_done():
                self.stop(Ended.IDLE)

    def _all_done(self) -> bool:
        if self._busy() or not (self._begun and self._kept):
            return False
        try:
            if count_open(self._store, self.plan.queues, self._actions):
                return False
            Projections(self._store).catch_up()
            self._told.ring()
            return self._last_caller.due_in() != 0
        except OUTAGES as error:
            self._met(error)
            return False

    def _labour(self, worker: Worker) -> None:
        """Do unit after unit; wait for the bell when there is none."""
        did = False
        while not self._stopping.is_set():
            heard = self._work.rings
            busy = worker.step()
            self._begun = True
            self._outage.over()
            if busy:
                did = True
                self._check_limits()
                continue
            if did:
                self._news.ring()
                did = False
            self._attendant.nudge()
            self._work.wait(heard)

    def _check_limits(self) -> None:
        units, memory = self.plan.max_units, self.plan.max_memory
        if units is not None and sum(worker.done for worker in self._workers) >= units:
            log.info("%d units are done: the worker leaves, to be started again", units)
            self.stop(Ended.LIMIT)
        elif memory is not None and (taken := resident_megabytes()) > memory:
            log.info(
                "%.0f MB are taken, of %d: the worker leaves, to be started again", taken, memory
            )
            self.stop(Ended.LIMIT)

    def _keep(self) -> None:
        """Keep the ledger in order: when something was announced or has come due, and once in a lease period."""
        while not self._stopping.is_set():
            heard = self._news.rings
            while not self._stopping.is_set() and self._keeper.step():
                self._work.ring()
            self._kept = True
            self._waits.look()
            self._stopping.wait(CHECK_SECONDS)
            self._news.wait(heard, self._keep_seconds)

    def _follow(self) -> None:
        """Keep the views current: at once while the workers are idle, else about every second."""
        while not self._over.is_set():
            heard, began = self._news.rings, time.monotonic()
            taken = self._projections.catch_up()
            if taken:
                self._told.ring()
            self._over.wait(FOLLOW_PAUSE)
            # Where something came there may be more of which nobody tells: look again until nothing comes.
            self._news.wait(heard, FOLLOW_SECONDS if taken or self._busy() else None)
            while self._busy() and (left := began + FOLLOW_SECONDS - time.monotonic()) > 0:
                self._news.wait(self._news.rings, left)

    def _tell(self) -> None:
        """Call hooks, once the follower has come to what they are to be told of, or when one is due again."""
        while not self._over.is_set():
            heard = self._told.rings
            while not self._over.is_set() and self._caller.step():
                pass
            self._told.wait(heard, self._caller.due_in())

    def _busy(self) -> bool:
        return any(worker.current is not None for worker in self._workers)

    def _state(self) -> WorkerState:
        if self._stopping.is_set():
            return WorkerState.STOPPING
        if self._busy():
            return WorkerState.WORKING
        return WorkerState.IDLE if self._begun else WorkerState.STARTING

    def _met(self, error: Exception) -> float:
        away = self._outage.met(error)
        if away > self._patience:
            self._fail(error)
        return away

    def _fail(self, error: BaseException) -> None:
        self._fault = self._fault or error
        self.stop()

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """Let follower and attendant leave, and close what is open."""
        self._over.set()
        self._work.ring()
        self._news.ring()
        self._told.ring()
        self._attendant.end()
        deadline = time.monotonic() + LAST_SECONDS
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        for direct, thread in zip(self._directs, threads, strict=True):
            if thread.is_alive():
                direct.cut()
            else:
                direct.close()
        if not threads[-1].is_alive():
            self._attendant.close()
