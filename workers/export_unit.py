"""The last unit of an export: the parts become one file, the file comes to its place, and the ledger records it."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from psycopg import Error

from action_ledger.domain import export
from action_ledger.domain.actions import Action, ExportAction
from action_ledger.domain.execution import ExecutionStatus
from action_ledger.domain.export import open_export
from action_ledger.projections.store import Transaction

from .claim import Unit
from .close import ExecutionClosed, require_open
from .export_formats import FORMATS, Assembly
from .export_part import SQL, read_file, read_parameters
from .export_place import digest_of_file, reported
from .settle import settle
from .steps import reached

BEATS = 8
"""So often in a lease's time the server hears of a worker that puts a file together."""


def write_export(
    transaction: Transaction,
    unit: Unit,
    action: Action,
    *,
    worker: str,
    lease_seconds: float,
) -> None:
    """Write the file of an execution whose batches have all come to their end, or say why there is none.

    The row lock on the unit is the lease, as it is of a batch. So that it is not taken for dead, the worker says
    meanwhile that it lives.

    Raises ExecutionClosed, ExportFailed, ExportExists, UnfitValue, ExtraMissing.
    """
    values = {"execution_id": unit.execution_id}
    row: Any = transaction.execute(SQL["execution"], values).fetchone()
    if row["error"] or row["failed"]:
        failure: Any = transaction.execute(SQL["batch_error"], values).fetchone()
        fail_export(transaction, unit, error=row["error"] or failure["error"])
        return
    parameters = read_parameters(transaction, unit.execution_id)
    FORMATS[parameters.format].require()
    file = read_file(transaction, unit.execution_id)
    parts = transaction.execute(SQL["parts"], values).fetchall()
    digest: Any = transaction.execute(SQL["body_digest"], values).fetchone()
    with _heard_of(transaction, unit, lease_seconds / BEATS) as pulse, reported(file.place.target):
        whole = file.place.published() or file.place.new_whole()
        if not whole.exists():
            FORMATS[parameters.format].write(
                Assembly(
                    whole=whole,
                    title=unit.table_name,
                    columns=file.columns,
                    types=file.types,
                    parts=[file.place.part(part["name"], part["bytes"]) for part in parts],
                    alive=pulse.check,
                    escape_formulas=parameters.escape_formulas,
                    font=action.font if isinstance(action, ExportAction) else None,
                )
            )
            reached("export.assembled")
            file.place.sync(whole)
        size, file_digest = whole.stat().st_size, digest_of_file(whole)
        if file.place.published() is None:
            reached("export.before_publish")
            pulse.check()
            file.place.publish(whole, overwrite=parameters.overwrite)
    reached("export.published")
    require_open(transaction, unit.execution_id)
    transaction.append(
        open_export(unit.execution_id).trigger(
            export.Written,
            unit.metadata,
            execution_id=unit.execution_id,
            format=parameters.format,
            columns=file.columns,
            records=sum(part["records"] for part in parts),
            bytes=size,
            file_digest=file_digest,
            body_digest=digest["digest"],
            read_from=min((part["read_from"] for part in parts), default=None),
            read_to=max((part["read_to"] for part in parts), default=None),
            attempt=unit.attempt,
            worker=worker,
        )
    )
    reached("export.appended")
    settle(transaction, execution_id=unit.execution_id, undo_id=None, metadata=unit.metadata)


def fail_export(transaction: Transaction, unit: Unit, *, error: str) -> None:
    """Say that no file comes of it, which ends the execution as failed. Raises ExecutionClosed."""
    require_open(transaction, unit.execution_id)
    transaction.append(
        open_export(unit.execution_id).trigger(
            export.Failed, unit.metadata, execution_id=unit.execution_id, error=error
        )
    )
    reached("export.failed")
    settle(transaction, execution_id=unit.execution_id, undo_id=None, metadata=unit.metadata)


class _Pulse:
    """What is heard of the execution while no statement of the work runs."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.closed = False
        self.error: Error | None = None

    def check(self) -> None:
        """Raise what makes the work useless: ExecutionClosed, or the loss of the connection."""
        if self.error is not None:
            raise self.error
        if self.closed:
            raise ExecutionClosed


@contextmanager
def _heard_of(transaction: Transaction, unit: Unit, seconds: float) -> Generator[_Pulse]:
    """Ask again and again how the execution stands, over the connection that nothing else uses meanwhile.

    The server would end a transaction of which it hears nothing; that of a frozen process it does end.
    """
    pulse = _Pulse()
    statement = transaction.compose(SQL["execution"])

    def beat() -> None:
        while not pulse.stop.wait(seconds):
            try:
                row = transaction.connection.execute(
                    statement, {"execution_id": unit.execution_id}
                ).fetchone()
            except Error as error:
                pulse.error = error
                return
            pulse.closed = row is None or ExecutionStatus(row["status"]).closed

    thread = threading.Thread(target=beat, name="action-ledger-export", daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        pulse.stop.set()
        thread.join()
    pulse.check()
