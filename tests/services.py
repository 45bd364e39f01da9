"""The worker's service within this process, on a test's database."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.ops import Ledger, Service, Settings, open_ledger
from action_ledger.ops.handles import ExecutionHandle
from tests.worker_process import states

LONG = 600.0


def a_ledger(url: str, **settings: Any) -> Ledger:
    return open_ledger(url, settings=Settings.model_validate(settings))


@contextmanager
def serving(service: Service) -> Generator[threading.Thread]:
    """Run a service in a thread, and see that it comes to its end."""
    stop = threading.Event()
    thread = threading.Thread(target=service.run, args=(stop.is_set,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def submit(ledger: Ledger, note: str = "x", **options: Any) -> ExecutionHandle:
    request = ledger.on("places").all().update(note=note).by("user:1")
    for name, value in options.items():
        request = getattr(request, name)(value)
    return request.submit()


def idle(connection: Connection[DictRow]) -> bool:
    return states(connection) == ["idle"]


def followed(connection: Connection[DictRow]) -> bool:
    """Look whether the audit view has come to the head of the log."""
    row = connection.execute(
        "SELECT (SELECT max(position) FROM action_ledger.view_audit_g1)"
        " = (SELECT max(notification_id) FROM action_ledger.stored_events) AS current"
    ).fetchone()
    return bool(row and row["current"])


def open_units(connection: Connection[DictRow]) -> int:
    return len(connection.execute("SELECT FROM action_ledger.work_queue").fetchall())
