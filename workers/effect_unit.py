"""The way of a unit with an effect: under its lease, outside of any transaction, record by record, to its end.

What comes of each record is kept as it comes. So a worker that takes the unit over calls only for those of which
nothing is kept.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from psycopg import Error
from pydantic_core import to_json

from action_ledger.domain.effects import Effect, EffectContext, idempotency_key
from action_ledger.projections import tracing
from action_ledger.projections.store import Store, Transaction

from .claim import Unit
from .close import ExecutionClosed
from .effect_calls import Answer, Call, Function, compensate_of
from .effect_ends import end_unit
from .effect_loop import run_loop
from .effect_pages import PAGE, Found, Pages
from .effect_patience import Leaving, patiently
from .faults import code_of, is_waited_out, passes
from .lease import SQL, Lease, LeaseLost
from .lease_signals import writes_fenced
from .steps import reached

CHUNK = 25
"""Answers that are kept at a time, at most."""
FLUSH_SECONDS = 1.0
"""How long an answer waits to be kept."""
ASIDE = 60.0
"""Seconds for which a unit is left alone that could not be brought to an end."""

log = logging.getLogger(__name__)


class EffectUnit:
    """A unit whose lease is taken, and committed by the time that it is run."""

    def __init__(
        self,
        store: Store,
        unit: Unit,
        *,
        lease: Lease,
        effect: Effect,
        parameters: object,
        pages: Pages,
        extent: int,
        chunk: int,
    ) -> None:
        """``extent`` is the last position of a record; ``chunk`` is how many answers are kept at a time."""
        self._store = store
        self.unit = unit
        self._lease = lease
        self._effect = effect
        self._parameters = parameters
        self._pages = pages
        self._extent = extent
        self._chunk = chunk
        self._answers: list[Answer] = []
        self._kept_at = time.monotonic()
        self._calls: set[asyncio.Task[Answer]] = set()
        self._leaving: threading.Event | None = None

    def run(self, leaving: threading.Event | None = None) -> None:
        """Work, and end the unit; or leave it to others, if its records are locked while ``leaving`` is set.

        Raises:
            ExecutionClosed: Its execution was closed; what had been done by then is recorded.
            Error, StoreUnavailable: The database stays out of reach. The lease runs out, and another worker goes on.
        """
        reached("effect.leased")
        unit, self._leaving = self.unit, leaving
        function = compensate_of(self._effect, unit) if unit.undo_id else self._effect.handler
        with (
            tracing.process(
                unit.action,
                queue=unit.queue,
                execution_id=unit.execution_id,
                traceparent=unit.traceparent,
                records=unit.records,
                number=unit.number or 0,
                attempt=unit.attempt,
                function=_name_of(function),
            ),
            self._lease.renewed(),
        ):
            try:
                cause = self._work_through()
                reached("effect.before_end")
                open_ = patiently(lambda: self._end(cause), unit)
            except LeaseLost:
                writes_fenced(unit, epoch=self._lease.epoch, writes=len(self._answers))
                return
            except Leaving:
                self._leave()
                return
            except Exception as fault:
                if passes(fault):
                    raise
                log.exception("unit %s could not be brought to an end", unit.unit_id)
                self._lease.release(error=code_of(fault), delay=ASIDE)
                return
            except BaseException:
                self._leave()
                raise
        if not open_:
            raise ExecutionClosed

    def _work_through(self) -> Exception | None:
        """Call for each record; give what keeps the rest from being called for."""
        try:
            run_loop(self._work)
        except (LeaseLost, Leaving):
            raise
        except Exception as fault:
            if passes(fault) and not (isinstance(fault, Error) and is_waited_out(fault)):
                raise
            log.exception("unit %s met a fault that is no record's", self.unit.unit_id)
            return fault
        return None

    async def _work(self) -> None:
        """Work through the pages. What is under way comes to its end also where the next cannot be read."""
        try:
            await self._begin_all()
        except LeaseLost:
            raise
        except Exception:
            await self._take_all()
            raise
        await self._take_all()

    async def _take_all(self) -> None:
        while self._calls:
            await self._take()
        await asyncio.to_thread(patiently, self._keep, self.unit)

    async def _begin_all(self) -> None:
        for after in range(0, self._extent, PAGE):
            page = await asyncio.to_thread(
                patiently, self._read(after), self.unit, leaving=self._leaving
            )
            for found in page:
                call = self._call(found)
                if found.reason is not None:
                    self._answers.append(call.answer("skipped", found.reason))
                    continue
                while len(self._calls) >= self._effect.concurrency:
                    await self._take()
                if not await self._may_go_on():
                    break
                self._calls.add(asyncio.create_task(self._make(call)))
            if self._lease.closed.is_set():
                break
            await self._keep_in_time()

    async def _make(self, call: Call) -> Answer:
        reached("effect.before_call")
        answer = await call.make(self._effect.timeout)
        reached("effect.after_call")
        self._lease.beat()
        return answer

    async def _take(self) -> None:
        """Take the answers that have come; wait for one, but not for longer than the others may wait."""
        done, self._calls = await asyncio.wait(
            self._calls, timeout=FLUSH_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        self._answers += [task.result() for task in done]
        await self._keep_in_time()

    async def _keep_in_time(self) -> None:
        due = time.monotonic() - self._kept_at >= FLUSH_SECONDS
        if len(self._answers) >= self._chunk or (self._answers and due):
            await asyncio.to_thread(patiently, self._keep, self.unit)

    async def _may_go_on(self) -> bool:
        """Whether another record may be begun. Raises LeaseLost."""
        if not self._lease.certain:
            await asyncio.to_thread(patiently, self._lease.renew, self.unit)
        if self._lease.lost.is_set():
            raise LeaseLost
        self._lease.beat()
        return not self._lease.closed.is_set()

    def _read(self, after: int) -> Callable[[], list[Found]]:
        def read() -> list[Found]:
            if self._lease.lost.is_set():
                raise LeaseLost
            if self._lease.closed.is_set():
                return []
            self._lease.beat()
            with self._store.transaction(silence=self._lease.silence) as transaction:
                transaction.execute(SQL["wait_a_little"], self._lease.values)
                return self._pages.read(transaction, after)

        return read

    def _keep(self) -> None:
        """Keep the answers that there are. Raises LeaseLost; then none of them is kept."""
        answers = list(self._answers)
        if not answers:
            return
        reached("effect.before_keep")
        values = {
            **self._lease.values,
            "undo_id": self.unit.undo_id,
            "answers": to_json([asdict(answer) for answer in answers]).decode(),
        }
        with self._store.transaction(silence=self._lease.silence) as transaction:
            row = transaction.execute(SQL["keep"], values).fetchone()
        if row is None or not row["held"]:
            self._lease.lost.set()
            raise LeaseLost
        del self._answers[: len(answers)]
        self._kept_at = time.monotonic()
        self._lease.look_at(row["status"])
        reached("effect.kept")

    def _end(self, cause: Exception | None) -> bool:
        with self._store.transaction(silence=self._lease.silence) as transaction:
            if not self._lease.hold(transaction):
                return self._has_ended(transaction)
            open_ = end_unit(
                transaction,
                self.unit,
                error=None if cause is None else code_of(cause),
                cause=cause,
                worker=self._lease.worker,
            )
            reached("effect.before_commit")
        return open_

    def _has_ended(self, transaction: Transaction) -> bool:
        """Tell the end that was ours, the answer to whose COMMIT was lost, from a lease that was."""
        row = transaction.execute(SQL["standing"], {"batch_id": self.unit.batch_id}).fetchone()
        if row is None or row["epoch"] != self._lease.epoch:
            raise LeaseLost
        return True

    def _leave(self) -> None:
        """On the way out (Ctrl-C, or a lock that outlasts the worker): keep what is there, and let others go on at once."""
        try:
            self._keep()
            self._lease.release(error="left", delay=0)
        except Exception:
            log.warning("unit %s was left with its lease", self.unit.unit_id, exc_info=True)

    def _call(self, found: Found) -> Call:
        unit = self.unit
        if unit.batch_id is None:
            message = f"unit {unit.unit_id} has no batch"
            raise AssertionError(message)
        return Call(
            position=found.position,
            record=found.record,
            context=EffectContext(
                execution_id=unit.execution_id,
                undo_id=unit.undo_id,
                batch_id=unit.batch_id,
                key=found.key,
                idempotency_key=idempotency_key(unit.job_id, found.key),
                attempt=unit.attempt,
            ),
            function=self._function(found),
            parameters=self._parameters,
        )

    def _function(self, found: Found) -> Function:
        if self.unit.undo_id is None:
            return self._effect.handler
        compensate = compensate_of(self._effect, self.unit)
        return lambda record, parameters, context: compensate(
            record, parameters, found.result, context
        )


def _name_of(function: Callable[..., object]) -> str:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}.{name}"
