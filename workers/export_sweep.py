"""Clears away what exports leave: their parts once they have ended, and their files once their time is over."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import UUID

from action_ledger.domain import export
from action_ledger.domain.actor import Actor
from action_ledger.domain.errors import ExportFailed
from action_ledger.domain.event import Metadata
from action_ledger.domain.export import Export, ExportStatus, export_id
from action_ledger.projections.store import Store

from .actors import said_of
from .export_part import SQL
from .export_place import Place, digest_of_file, reported
from .steps import reached

MOST = 1_000
"""Files that are looked at in one go."""

Outcome = Literal["removed", "missing", "replaced"]


class CleanedFile(NamedTuple):
    """A file whose time was over."""

    execution_id: UUID
    path: str
    bytes: int
    outcome: Outcome


def clear_parts(store: Store, execution_id: UUID) -> int:
    """Take away the parts of an export that has ended, and its file too if it was not to be; say whether it was done.

    Whoever shares the directory can do it, again and again: it is noted once it is done.
    """
    values = {"execution_id": execution_id}
    with store.transaction() as transaction:
        row = transaction.execute(SQL["left_over"], values).fetchone()
    if row is None:
        return 0
    kept = row["status"] in {ExportStatus.WRITTEN, ExportStatus.CLEANED}
    if not Place(Path(row["target"]), execution_id).clear(keep=kept):
        return 0
    reached("export.cleared")
    with store.transaction() as transaction:
        transaction.execute(SQL["cleared"], values)
    return 1


class Cleaning(NamedTuple):
    """What came of files whose time was over, and what kept others from being removed, by their executions."""

    files: list[CleanedFile]
    faults: dict[UUID, ExportFailed]


def clean_exports(
    store: Store,
    *,
    seconds: float,
    actor: Actor | None = None,
    dry_run: bool = False,
    leaving: Iterable[UUID] = (),
    most: int = MOST,
) -> Cleaning:
    """Remove the files that were written so many seconds ago, or earlier, by the database's clock; each is an event.

    A file that is another by now is left alone. ``dry_run`` says only what would be done. Without an ``actor`` it is
    done in the name of whoever asked for the export. The files of the executions in ``leaving`` are not looked at.
    After ``most`` files that were here to be looked at, it leaves the others for later: each is read through.
    """
    values = {"seconds": seconds, "leaving": list(leaving), "limit": MOST}
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["overdue"], values).fetchall()
    cleaning = Cleaning([], {})
    for row in rows:
        if len(cleaning.files) + len(cleaning.faults) >= most:
            break
        target = Path(row["target"])
        try:
            with reported(target):
                if not target.parent.is_dir():
                    continue  # on another machine, or not mounted: not ours to judge
                outcome = state_of_file(row)
                if not dry_run and outcome == "removed":
                    target.unlink()
        except ExportFailed as fault:
            cleaning.faults[row["execution_id"]] = fault
            continue
        reached("export.removed")
        if dry_run or _record(store, row["execution_id"], outcome, actor):
            cleaning.files.append(
                CleanedFile(row["execution_id"], row["target"], row["bytes"], outcome)
            )
    return cleaning


def state_of_file(row: dict[str, Any]) -> Outcome:
    """Say what a removal of an export's file would come to: it is removed if it is still what was written."""
    target = Path(row["target"])
    if not target.is_file():
        return "missing"
    if row["replaced"] or target.is_symlink() or target.stat().st_size != row["bytes"]:
        return "replaced"
    return "removed" if digest_of_file(target) == row["file_digest"] else "replaced"


def _record(store: Store, execution_id: UUID, outcome: Outcome, actor: Actor | None) -> bool:
    """Append that a file was cleaned, unless another has done so."""
    values = {"execution_id": execution_id}
    with store.transaction() as transaction:
        transaction.lock()
        row: Any = transaction.execute(SQL["export"], values).fetchone()
        current = Export(export_id(execution_id), row["version"], ExportStatus(row["status"]))
        if not current.allows(export.Cleaned):
            return False
        metadata = Metadata(
            correlation_id=row["correlation_id"],
            causation_id=execution_id,
            traceparent=row["traceparent"],
            **(said_of(transaction, actor) if actor else {"actor": row["actor"]}),
        )
        transaction.append(
            current.trigger(export.Cleaned, metadata, execution_id=execution_id, outcome=outcome)
        )
        transaction.execute(SQL["forget_file"], values)
        reached("export.cleaned")
    return True
