"""The view of exports: each file with its manifest, from its request until it was cleaned. Runs inline."""

from typing import Any, ClassVar

from action_ledger.domain import export
from action_ledger.domain.export import ExportStatus

from .projection import Recorded
from .rows import Rows

TABLE = "exports"

_MANIFEST = {
    "columns",
    "records",
    "bytes",
    "file_digest",
    "body_digest",
    "read_from",
    "read_to",
}


class Exports:
    """States, manifests and times."""

    name: ClassVar[str] = "exports"
    tables: ClassVar[dict[str, str]] = {TABLE: "export_id"}

    def project(self, recorded: Recorded, rows: Rows) -> None:
        """Fold one event in."""
        at, event = recorded.recorded_at, recorded.event

        def patch(status: ExportStatus, **values: Any) -> None:  # noqa: ANN401 - a column's value
            version = event.originator_version
            rows.patch(TABLE, event.originator_id, status=status, version=version, **values)

        match event:
            case export.Requested():
                rows.put(
                    TABLE,
                    event.originator_id,
                    {
                        "execution_id": event.execution_id,
                        "status": ExportStatus.REQUESTED,
                        "version": event.originator_version,
                        "format": event.format,
                        "actor": event.metadata.actor,
                        "requested_at": at,
                        **dict.fromkeys((*sorted(_MANIFEST), "error", "outcome")),
                        "written_at": None,
                        "cleaned_at": None,
                    },
                )
            case export.Written():
                patch(ExportStatus.WRITTEN, written_at=at, **event.model_dump(include=_MANIFEST))
            case export.Failed():
                patch(ExportStatus.FAILED, error=event.error)
            case export.Cancelled():
                patch(ExportStatus.CANCELLED)
            case export.Cleaned():
                patch(ExportStatus.CLEANED, outcome=event.outcome, cleaned_at=at)
            case _:
                pass
