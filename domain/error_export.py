"""Errors of exports: files that may not be written where they were to be, or could not be. See ``errors``."""

# as in errors.py

from typing_extensions import override

from .error_invalid import InvalidCommand
from .error_root import Refused
from .error_store import StoreError


class ExportTooLarge(InvalidCommand, code="export_too_large"):
    """A file of format {format} may have {limit} records, and these are {records}."""

    records: int
    limit: int
    format: str
    of_format: bool = False
    """Whether it is the format that holds no more, rather than what was asked for."""

    @property
    @override
    def advice(self) -> str:
        """Say what limits it."""
        if self.of_format:
            return "Choose another format, or export it in several selections."
        return "Choose fewer, or raise ACTION_LEDGER_EXPORT_MAX_RECORDS."


class ExportPathRefused(
    InvalidCommand,
    code="export_path_refused",
    hint="Name a file below the directory for exports, or an absolute path to a place that is there.",
):
    """No file may be written to {path}: {detail}."""

    path: str
    detail: str


class ExportExists(
    Refused, code="export_exists", hint="Name another, or ask for it with overwrite."
):
    """There is a file at {path} already."""

    path: str


class ExportNotFound(
    Refused, code="export_not_found", hint="List them with `action-ledger exports list`."
):
    """There is no export {given}."""

    given: str


class ExportFailed(  # noqa: N818 - it says what happened, as the events do
    StoreError,
    code="export_failed",
    hint="No file was left at its place. Mend the cause, then export it again.",
):
    """The file {path} could not be written: {detail}."""

    path: str
    detail: str


class UnfitValue(
    InvalidCommand,
    code="unfit_value",
    hint="Leave the column out, or choose a format without types, such as CSV or NDJSON.",
):
    """Column {column} has values that a file of format {format} cannot hold: {detail}."""

    column: str
    format: str
    detail: str
