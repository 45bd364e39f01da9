"""What is looked at when an export is planned: that its file can be written, and that it is not too large."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from action_ledger.domain import export
from action_ledger.domain.actions import ExportAction, ExportFormat, ExportParameters
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.errors import ExportTooLarge, InvalidParameters
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.export import Export, export_id
from action_ledger.domain.selection import Unfinished
from action_ledger.projections.store import Transaction

from .cutter import Cut
from .export_formats import FORMATS
from .export_lines import recorded_type
from .export_part import SQL, read_parameters
from .export_place import resolve_target
from .table import Column, Table


def columns_to_export(table: Table, names: Sequence[str] | None) -> list[Column]:
    """Give the columns of the file, each once. Raises UnknownColumn."""
    if names is None:
        return list(table.columns)
    return [table.column(name) for name in dict.fromkeys(names)]


def export_requested(command: RequestExecution, metadata: Metadata) -> Event:
    """Say that a file is to be written. Raises InvalidParameters where it would be one of a part of the records."""
    if isinstance(command.selection, Unfinished):
        detail = "the rest of it would be another file; ask for the whole again"
        raise InvalidParameters(action=command.action, detail=detail)
    parameters = ExportParameters.model_validate(command.parameters)
    return Export.new(export_id(command.command_id)).trigger(
        export.Requested,
        metadata,
        execution_id=command.command_id,
        format=parameters.format,
    )


def plan_export(
    transaction: Transaction,
    action: ExportAction,
    table: Table,
    execution_id: UUID,
    cuts: Iterable[Cut],
) -> None:
    """Fix the place of the file and its columns.

    Raises ExtraMissing, ExportTooLarge, ExportPathRefused, ExportExists, ExportFailed.
    """
    parameters = read_parameters(transaction, execution_id)
    _check_size(parameters.format, sum(cut.records for cut in cuts), action.max_records)
    target = resolve_target(action.directory, parameters.path, overwrite=parameters.overwrite)
    columns = columns_to_export(table, parameters.columns)
    transaction.execute(
        SQL["keep_file"],
        {
            "execution_id": execution_id,
            "target": str(target),
            "columns": [column.name for column in columns],
            "types": [recorded_type(column) for column in columns],
        },
    )


def _check_size(name: ExportFormat, records: int, limit: int) -> None:
    format_ = FORMATS[name]
    format_.require()
    most = limit if format_.most is None else min(limit, format_.most)
    if records > most:
        raise ExportTooLarge(records=records, limit=most, format=name, of_format=most < limit)
