"""The export: the one file that an execution of the action ``export`` leaves, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID, uuid5

from pydantic import Field

from .aggregate import Aggregate, Transitions
from .event import Digest, Event


class ExportEvent(Event):
    """Every event of an export names its execution, so that a projection needs no look-up."""

    execution_id: UUID


class Requested(ExportEvent):
    """A file is to be written once every batch of the execution has come to its end."""

    TOPIC = "export.requested"

    format: str


class Written(ExportEvent):
    """The manifest of the file, which is whole and at its place.

    ``body_digest`` is that of the request, so of selection, columns and path. Each batch was read in one snapshot;
    the first not before ``read_from``, the last not after ``read_to``.
    """

    TOPIC = "export.written"

    format: str
    columns: tuple[str, ...]
    records: int = Field(ge=0)
    bytes: int = Field(ge=0)
    file_digest: Digest
    """SHA-256 of the file itself."""
    body_digest: Digest
    read_from: datetime | None
    read_to: datetime | None
    """None where no record was planned."""
    attempt: int = Field(ge=1)
    worker: str


class Failed(ExportEvent):
    """No file was written. ``error`` is a stable code of the error tree, or an SQLSTATE."""

    TOPIC = "export.failed"

    error: str


class Cancelled(ExportEvent):
    """Its execution was closed before the file was written, and there is none."""

    TOPIC = "export.cancelled"

    reason: Literal["cancelled", "failed", "rolling_back", "rolled_back"]
    """The state of the execution that closed it."""


class Cleaned(ExportEvent):
    """Its time was over. The file was removed; or it was missing, or replaced by another, which was left alone."""

    TOPIC = "export.cleaned"

    outcome: Literal["removed", "missing", "replaced"]


class ExportStatus(StrEnum):
    """Where an export stands."""

    REQUESTED = "requested"
    WRITTEN = "written"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CLEANED = "cleaned"


@dataclass(frozen=True, slots=True)
class Export(Aggregate):
    """The stream of one export."""

    TRANSITIONS: ClassVar[Transitions] = {
        (None, Requested): ExportStatus.REQUESTED,
        (ExportStatus.REQUESTED, Written): ExportStatus.WRITTEN,
        (ExportStatus.REQUESTED, Failed): ExportStatus.FAILED,
        (ExportStatus.REQUESTED, Cancelled): ExportStatus.CANCELLED,
        (ExportStatus.WRITTEN, Cleaned): ExportStatus.CLEANED,
    }


_NAMESPACE = UUID("6d3a7c43-3c53-5f0e-9a51-5e2d6f1b8c07")


def export_id(execution_id: UUID) -> UUID:
    """Name the export of an execution: there is never more than one."""
    return uuid5(_NAMESPACE, str(execution_id))


def open_export(execution_id: UUID) -> Export:
    """Give the export of an execution as it is from its request until its end."""
    return Export(export_id(execution_id), 1, ExportStatus.REQUESTED)
