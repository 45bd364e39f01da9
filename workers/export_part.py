"""One batch of an export: its records are read in one statement and kept as a part of the file.

The part has a name that nobody else uses, and the transaction that completes the batch says that it counts. So an
attempt that dies leaves a file that nobody reads, and the row lock on the batch is all the lease that it takes.
"""

from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from psycopg import sql

from action_ledger.domain.actions import ExportParameters
from action_ledger.domain.batch import Batch, BatchStatus, Completed
from action_ledger.domain.errors import SchemaDrift
from action_ledger.domain.event import Tally
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .bodies import read_body
from .change import Change
from .claim import Unit
from .export_formats import FORMATS
from .export_lines import LinesOf, recorded_type
from .export_place import Place
from .images import (
    aliases,
    array_of,
    columns_of,
    decoded,
    gathered,
    listed,
    numbered,
    same_key,
    unnested,
)
from .slices import outcomes_digest_of
from .split import batch_of
from .table import Column, Table

SQL = read_blocks("action_ledger.workers", "export.sql")


class ExportFile(NamedTuple):
    """What was kept of an export when it was planned."""

    place: Place
    columns: tuple[str, ...]
    types: tuple[str, ...]


def read_file(transaction: Transaction, execution_id: UUID) -> ExportFile:
    """Read where an execution's file is to be, and its columns."""
    row = transaction.execute(SQL["file"], {"execution_id": execution_id}).fetchone()
    if row is None:
        message = f"execution {execution_id} is no export, or was never planned"
        raise AssertionError(message)
    place = Place(Path(row["target"]), execution_id)
    return ExportFile(place, tuple(row["columns"]), tuple(row["types"]))


def read_parameters(transaction: Transaction, execution_id: UUID) -> ExportParameters:
    """Read what an export was asked for with."""
    body: Any = read_body(transaction, execution_id)
    return ExportParameters.model_validate(body["parameters"])


def export_batch(transaction: Transaction, unit: Unit, change: Change, *, worker: str) -> Completed:
    """Keep the part of the unit's batch; give the event that says so, to be appended in this transaction.

    Raises ExtraMissing, ExportFailed where it cannot be written, or SchemaDrift.
    """
    parameters = read_parameters(transaction, unit.execution_id)
    format_ = FORMATS[parameters.format]
    format_.require()
    file = read_file(transaction, unit.execution_id)
    columns = _columns(change.table, file)
    lines = LinesOf(format_.lines, columns, escape=parameters.escape_formulas)
    batch_id, version = batch_of(unit)
    ids = {"batch_id": batch_id, "execution_id": unit.execution_id}
    statement = _statement(transaction, change, lines)
    now = transaction.execute(SQL["now"]).fetchone()
    name = f"{unit.number:08}-{uuid4().hex}"
    with transaction.cursor.copy(statement, {**change.parameters, **ids}) as copy:
        size = file.place.keep_part(name, copy)
    written = transaction.cursor.rowcount
    part = {"number": unit.number, "name": name, "records": written, "bytes": size}
    transaction.execute(SQL["keep_part"], {**ids, **part, "read_from": now and now["now"]})
    tally = Tally(applied=written, skipped=unit.records - written)
    return Batch(batch_id, version, BatchStatus.PLANNED).trigger(
        Completed,
        unit.metadata,
        execution_id=unit.execution_id,
        number=unit.number,
        tally=tally,
        change_digest=None,
        outcomes_digest=outcomes_digest_of(transaction, batch_id, tally.behind),
        attempt=unit.attempt,
        worker=worker,
    )


def _columns(table: Table, file: ExportFile) -> list[Column]:
    """Give the columns as they were planned. Raises SchemaDrift or UnknownColumn."""
    columns = [table.column(name) for name in file.columns]
    for column, before in zip(columns, file.types, strict=True):
        if recorded_type(column) != before:
            detail = f"column {column.name} was {before} and is {recorded_type(column)}"
            raise SchemaDrift(table=table.label, detail=detail)
    return columns


def _statement(transaction: Transaction, change: Change, lines: LinesOf) -> sql.Composed:
    table = change.table
    names = numbered("k", len(table.key))
    planned = transaction.compose(
        SQL["keys"],
        keys=listed(
            sql.SQL("{} AS {}").format(value, name)
            for value, name in zip(decoded("u", "k", table.key), names, strict=True)
        ),
        arrays=listed(unnested("s.keys", table.key)),
        key_names=listed(names),
    )
    return transaction.compose(
        SQL["part"],
        planned=planned,
        gone=columns_of("t", table.key)[0],
        match=change.match,
        fields=lines.fields,
        table=table.identifier,
        same_key=same_key(columns_of("t", table.key), aliases("q", "k", len(table.key))),
        missed_keys=array_of(
            [gathered(c, n, sql.SQL("n")) for c, n in zip(table.key, names, strict=True)]
        ),
        line=lines.line,
        options=lines.options,
    )
