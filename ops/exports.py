"""Exports as the ledger lists them: each with its manifest, and whether its file is still what was written."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import Action, ExportAction
from action_ledger.domain.actor import Actor, Asker
from action_ledger.domain.commands import DAY
from action_ledger.domain.errors import ExportNotFound
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Store
from action_ledger.workers.export_place import digest_of_file, reported
from action_ledger.workers.export_sweep import CleanedFile, clean_exports

from .settings import Settings

SQL = read_blocks("action_ledger.ops", "exports.sql")


class ExportView(BaseModel):
    """One export. Until it is written, and when it came to nothing, the manifest is None."""

    model_config = ConfigDict(frozen=True)

    execution_id: UUID
    status: str
    """requested, written, failed, cancelled or cleaned."""
    table: str
    format: str
    actor: str
    path: str | None
    """None before it was planned, and when it was cleaned."""
    columns: tuple[str, ...] | None
    records: int | None
    bytes: int | None
    sha256: str | None
    body_digest: str | None
    """Of the request: its selection, columns and path."""
    read_from: datetime | None
    read_to: datetime | None
    error: str | None
    outcome: str | None
    """What the cleaning came to: removed, missing or replaced."""
    requested_at: datetime
    written_at: datetime | None
    cleaned_at: datetime | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Make it from a row of the view."""
        return cls.model_validate({name: row[name] for name in cls.model_fields})

    def verify(self) -> Literal["equal", "missing", "differs"]:
        """Read the file through, and say whether it is what was written. Raises ExportNotFound without a file."""
        if self.path is None or self.sha256 is None:
            raise ExportNotFound(given=f"with a file under {self.execution_id}")
        path = Path(self.path)
        with reported(path):
            if not path.is_file():
                return "missing"
            return "equal" if digest_of_file(path) == self.sha256 else "differs"


class Exports:
    """All exports of a ledger."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings

    def newest(self, limit: int = 20) -> list[ExportView]:
        """List exports, the newest first."""
        with self._store.transaction() as transaction:
            rows = transaction.execute(SQL["exports"], {"limit": limit}).fetchall()
        return [ExportView.of(row) for row in rows]

    def clean(
        self, *, by: Asker | None = None, days: float | None = None, dry_run: bool = False
    ) -> list[CleanedFile]:
        """Remove the files of exports that are so old; the workers do it by themselves, by the setting.

        Raises ExportFailed for the first that could not be removed, once the others are.
        """
        days = self._settings.export_retention_days if days is None else days
        actor = None if by is None else Actor.model_validate(by)
        cleaning = clean_exports(self._store, seconds=days * DAY, actor=actor, dry_run=dry_run)
        if cleaning.faults:
            raise next(iter(cleaning.faults.values()))
        return cleaning.files


def read_export(store: Store, execution_id: UUID) -> ExportView:
    """Read the export of one execution. Raises ExportNotFound."""
    with store.transaction() as transaction:
        row = transaction.execute(SQL["export"], {"execution_id": execution_id}).fetchone()
    if row is None:
        raise ExportNotFound(given=f"of execution {execution_id}")
    return ExportView.of(row)


def export_at(store: Store, path: Path) -> ExportView:
    """Find the export that wrote a file last. Raises ExportNotFound."""
    with store.transaction() as transaction:
        row = transaction.execute(SQL["export_at"], {"target": str(path.resolve())}).fetchone()
    if row is None:
        raise ExportNotFound(given=f"at {path}")
    return ExportView.of(row)


def with_settings(actions: Iterable[Action], settings: Settings) -> Iterator[Action]:
    """Give actions as the settings want them."""
    for action in actions:
        yield (
            replace(
                action,
                directory=settings.export_dir,
                max_records=settings.export_max_records,
                font=settings.export_font,
            )
            if isinstance(action, ExportAction)
            else action
        )
