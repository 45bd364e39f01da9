"""The attendant of a worker's process: hears of new work, looks for it now and then, and keeps the heartbeat.

One thread and one connection for the whole process, so that the workers who wait for something to do cost the
server nothing at all.
"""

import logging
import os
import select
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from psycopg import Connection, sql
from psycopg.rows import DictRow

from action_ledger.projections.work_queue import WORK
from action_ledger.workers.claim import SQL as QUEUE
from action_ledger.workers.loop import Current, Worker

from .bell import Bell
from .database import is_direct
from .direct import Direct
from .roster import Entry, WorkerState

SHORTEST = 0.02
"""Seconds between two looks for units that come due."""
STATE_SECONDS = 1.0
"""A change of the state, or of what is in hand, is told at once, but not more often than this."""
FORGET_SECONDS = 600.0
# It asks little, must never hold anything up, and need not be on disk.
SESSION = """
    SELECT set_config('statement_timeout', '10s', false), set_config('lock_timeout', '5s', false),
        set_config('synchronous_commit', 'off', false)
"""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Alarm:
    """When something is to be done next, by ``time.monotonic``."""

    at: float = 0.0

    def due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self.at

    def after(self, seconds: float) -> None:
        """Set it."""
        self.at = time.monotonic() + seconds

    def sooner(self, seconds: float) -> None:
        """Set it, unless it is set to earlier."""
        self.at = min(self.at, time.monotonic() + seconds)


class Attendant:
    """Rings ``work`` when there may be something to do, and ``news`` when there may be something to follow."""

    def __init__(
        self,
        direct: Direct,
        schema: str,
        entry: Entry,
        workers: Sequence[Worker],
        *,
        state: Callable[[], WorkerState],
        work: Bell,
        news: Bell,
        listen: bool,
        poll_seconds: float,
        beat_seconds: float,
    ) -> None:
        self._direct, self._channel, self._schema = direct, schema, sql.Identifier(schema)
        self._entry, self._workers = entry, workers
        self._state, self._work, self._news = state, work, news
        self._wants_to_listen, self._poll_seconds = listen, poll_seconds
        self._beat_seconds = beat_seconds
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._over = False
        self._told: tuple[WorkerState, list[Current | None]] = (WorkerState.STARTING, [])
        self._told_at = 0.0
        self._since = self._head = 0.0
        self._glance = float("inf")

    def nudge(self) -> None:
        """Let it look at once when the next unit comes due, and whether the state has changed."""
        with suppress(OSError):  # full: it is nudged already; or closed
            os.write(self._writer, b"!")

    def end(self) -> None:
        """Let it leave the roster and end."""
        self._over = True
        self.nudge()

    def close(self) -> None:
        """Give back what the nudges went through; its thread must have ended."""
        ends = self._reader, self._writer
        self._reader = self._writer = -1  # a late nudge must not go to what has the number next
        for end in ends:
            os.close(end)

    def attend(self) -> None:
        """Do all of it until ``end``. Raises what the database says when it is out of reach."""
        connection = self._direct.get()
        direct = is_direct(connection)
        if direct:  # behind a pooler it would be set on somebody else's session
            connection.execute(SESSION)
        listening = self._wants_to_listen and self._listen(connection, direct=direct)
        poll, beat, forget = Alarm(), Alarm(), Alarm()
        self._ring()  # whatever came while nobody listened
        while not self._over:
            if beat.due() or self._changed():
                self._tell(connection)
                beat.after(self._beat_seconds)
            if forget.due():
                self._entry.forget_others(connection)
                forget.after(FORGET_SECONDS)
            if poll.due():
                poll.after(self._look(connection, everything=True))
            heard = self._heard(connection) if listening else False
            until = min(poll.at, beat.at, forget.at, self._glance_alarm())
            nudged = not heard and self._wait(connection if listening else None, until)
            heard = heard or (listening and self._heard(connection))
            if (nudged or heard) and not self._over:
                poll.sooner(self._look(connection, everything=False))
        self._entry.leave(connection)
        self._direct.close()

    def _listen(self, connection: Connection[DictRow], *, direct: bool) -> bool:
        """Begin to listen; say whether that is possible."""
        if not direct:
            log.warning(
                "This connection goes through a pooler, where nothing can be listened to: "
                "new work is looked for every %g s",
                self._poll_seconds,
            )
            return False
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        return True

    def _look(self, connection: Connection[DictRow], *, everything: bool) -> float:
        """Look at the queue, ring where something calls for it, and say in how many seconds to look again.

        With ``everything`` also for units that were there before: some worker that held one may have died.
        """
        statement = QUEUE["outlook"].format(schema=self._schema)
        row = connection.execute(statement, {"since": self._since}).fetchone()
        if row is None:
            return self._poll_seconds
        if row["fresh"] or (everything and row["due"]):
            self._ring()
        if row["head"] != self._head:
            self._news.ring()
        self._since, self._head = row["at"], row["head"]
        return min(self._poll_seconds, max(SHORTEST, row["due_in"] or self._poll_seconds))

    def _tell(self, connection: Connection[DictRow]) -> None:
        self._told, self._told_at = self._sign(), time.monotonic()
        self._entry.beat(connection, self._workers, self._told[0])

    def _sign(self) -> tuple[WorkerState, list[Current | None]]:
        """What the roster ought to say now."""
        return self._state(), [worker.current for worker in self._workers]

    def _changed(self) -> bool:
        return time.monotonic() >= self._glance_alarm()

    def _glance_alarm(self) -> float:
        """When a change is to be told, or else to be looked for: soon after a ring, and while there is work."""
        now, sign = time.monotonic(), self._sign()
        if sign != self._told:
            return self._told_at + STATE_SECONDS
        if sign[0] is WorkerState.WORKING:
            return now + STATE_SECONDS
        if self._glance < now:
            self._glance = float("inf")
        return self._glance

    def _wait(self, connection: Connection[DictRow] | None, until: float) -> bool:
        """Wait for a notification, a nudge or the time; say whether it was a nudge."""
        watched = select.poll()
        watched.register(self._reader, select.POLLIN)
        if connection is not None:
            watched.register(connection.fileno(), select.POLLIN)
        ready = watched.poll(max(0.0, until - time.monotonic()) * 1000)
        if self._reader not in dict(ready):
            return False
        os.read(self._reader, 65_536)
        return True

    def _heard(self, connection: Connection[DictRow]) -> bool:
        """Take in what was announced, and say whether there was anything. Raises the loss of the connection."""
        payloads = {notify.payload for notify in connection.notifies(timeout=0)}
        if WORK in payloads:
            self._ring()
        if payloads:
            self._news.ring()
        return bool(payloads)

    def _ring(self) -> None:
        """Ring for the workers, and for the keeper, which listens for the ends of jobs too."""
        self._work.ring()
        self._news.ring()
        self._glance = time.monotonic() + STATE_SECONDS
