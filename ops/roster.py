"""The roster: the workers that are there, what each works on, and which were lost."""

import json
import os
import socket
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import DictRow
from pydantic import BaseModel, ConfigDict
from uuid_utils.compat import uuid7

from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store
from action_ledger.workers.loop import Worker

SQL = read_blocks("action_ledger.ops", "roster.sql")

FORGOTTEN_AFTER = 86_400.0
"""Seconds without a heartbeat after which others take a lost worker's row away."""


class WorkerState(StrEnum):
    """What a worker's process is about."""

    STARTING = "starting"
    WORKING = "working"
    IDLE = "idle"
    STOPPING = "stopping"
    LOST = "lost"
    """Not heard of for two lease periods. Its work is free: row locks go with their session."""


class UnitInHand(BaseModel):
    """A unit of work that a worker had in its hands at its last heartbeat."""

    model_config = ConfigDict(frozen=True)

    thread: int
    kind: str
    unit_id: UUID
    execution_id: UUID
    undo_id: UUID | None
    number: int | None
    since: datetime


class WorkerView(BaseModel):
    """One worker as a list shows it. ``queues`` in the order of their precedence; None is every queue."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: str
    host: str
    pid: int
    version: str
    state: WorkerState
    alive: bool
    queues: tuple[str, ...] | None
    concurrency: int
    units_done: int
    units: tuple[UnitInHand, ...]
    started_at: datetime
    heartbeat_at: datetime

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the roster."""
        beat: datetime = row["heartbeat_at"]
        units = [
            {**unit, "since": beat - timedelta(seconds=unit["seconds"])} for unit in row["units"]
        ]
        state = row["state"] if row["alive"] else WorkerState.LOST
        return cls.model_validate({**row, "units": units, "state": state})

    def serves(self, queue: str) -> bool:
        """Say whether it takes up what comes in a queue: it is alive, not about to leave, and has that queue."""
        there = self.alive and self.state is not WorkerState.STOPPING
        return there and (self.queues is None or queue in self.queues)


def read_workers(store: Store) -> list[WorkerView]:
    """List the workers that are there, and those that were lost lately; the longest there first."""
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["workers"]).fetchall()
    return [WorkerView.of(row) for row in rows]


def read_serving(store: Store, queue: str) -> list[WorkerView]:
    """List the workers that take up what is in a queue, by their last heartbeats."""
    return [worker for worker in read_workers(store) if worker.serves(queue)]


class Entry:
    """One process's own row in the roster."""

    def __init__(
        self, schema: str, *, name: str, queues: Sequence[str] | None, lease_seconds: float
    ) -> None:
        """Write nothing yet: the row comes with the first heartbeat."""
        self._schema = sql.Identifier(schema)
        self._started = time.monotonic()
        self._fixed = {
            "worker_id": uuid7(),
            "name": name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": _version(),
            "queues": None if queues is None else list(queues),
            "lease_seconds": lease_seconds,
        }

    def beat(
        self, connection: Connection[DictRow], workers: Sequence[Worker], state: WorkerState
    ) -> None:
        """Say that it is there, and what its workers have in their hands."""
        values = {
            **self._fixed,
            "concurrency": len(workers),
            "state": state,
            "units_done": sum(worker.done for worker in workers),
            "units": json.dumps(list(_in_hand(workers))),
            "age": time.monotonic() - self._started,
        }
        connection.execute(SQL["beat"].format(schema=self._schema), values)

    def leave(self, connection: Connection[DictRow]) -> None:
        """Take the row away."""
        connection.execute(SQL["leave"].format(schema=self._schema), self._fixed)

    def forget_others(self, connection: Connection[DictRow]) -> None:
        """Take the rows away of those that were lost long ago."""
        connection.execute(SQL["forget"].format(schema=self._schema), {"after": FORGOTTEN_AFTER})


def _in_hand(workers: Iterable[Worker]) -> Iterable[dict[str, Any]]:
    now = time.monotonic()
    for thread, worker in enumerate(workers, 1):
        current = worker.current  # read once: its thread goes on
        if current is not None:
            unit = current.unit
            yield {
                "thread": thread,
                "kind": unit.kind,
                "unit_id": str(unit.unit_id),
                "execution_id": str(unit.execution_id),
                "undo_id": None if unit.undo_id is None else str(unit.undo_id),
                "number": unit.number,
                "seconds": round(now - current.since, 3),
            }


def _version() -> str:
    try:
        return version("action-ledger")
    except PackageNotFoundError:
        return "0 (not installed)"
