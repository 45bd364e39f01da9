"""Shows exports, verifies their files and cleans them up."""

from pathlib import Path
from typing import Literal

from rich.text import Text

from action_ledger.domain.errors import ExecutionNotFound
from action_ledger.workers.export_sweep import CleanedFile

from .cli_exit_codes import ExitCode
from .cli_lookup import find
from .cli_terminal import BAD, GOOD, QUIET, Terminal, ago, many, state
from .exports import ExportView, export_at, read_export
from .ledger import Ledger


def show_written(terminal: Terminal, view: ExportView) -> None:
    """Say where a file is, and its digest."""
    if view.status == "written":
        terminal.say(f"Written to {view.path}: {_size(view)}.", GOOD)
        terminal.say(f"SHA-256 {view.sha256}", QUIET)


def list_exports(terminal: Terminal, found: list[ExportView]) -> None:
    """List exports."""
    if terminal.as_json:
        terminal.give(found)
    elif not found:
        terminal.say("There is no export. Begin with: action-ledger run TABLE export --to PATH")
    else:
        rows = (
            (
                view.execution_id,
                state(view.status),
                view.table,
                view.format,
                _size(view) if view.records is not None else view.error,
                view.actor,
                ago(view.requested_at),
                view.path,
            )
            for view in found
        )
        headers = ("EXECUTION", "STATUS", "TABLE", "FORMAT", "SIZE", "BY", "ASKED", "PATH")
        terminal.table(headers, rows, whole=("EXECUTION", "STATUS"))


def verify_export(ledger: Ledger, terminal: Terminal, given: str) -> ExitCode:
    """Compare a file with what was written. Exit code 1 when it differs or is missing."""
    view = _find(ledger, given)
    result: Literal["equal", "missing", "differs"] = view.verify()
    if terminal.as_json:
        terminal.give({**view.model_dump(mode="json"), "result": result})
    else:
        style = GOOD if result == "equal" else BAD
        terminal.say(Text.assemble(f"{view.path}: ", (result, style)))
    return ExitCode.DONE if result == "equal" else ExitCode.PARTLY


def show_cleaned(terminal: Terminal, found: list[CleanedFile], *, dry_run: bool) -> None:
    """Say which files were removed, or would be."""
    if terminal.as_json:
        terminal.give([one._asdict() for one in found])
        return
    for one in found:
        outcome = f"to be {one.outcome}" if dry_run and one.outcome == "removed" else one.outcome
        terminal.say(f"{outcome}: {one.path}")
    terminal.say(f"{many(len(found), 'file')} of exports whose time is over.")


def _find(ledger: Ledger, given: str) -> ExportView:
    """Find an export by the path of its file, or by the id of its execution."""
    path = Path(given)
    if path.is_absolute() or path.exists():
        return export_at(ledger.store, path)
    try:
        return read_export(ledger.store, find(ledger.store, given).execution_id)
    except ExecutionNotFound:
        return export_at(ledger.store, ledger.settings.export_dir / path)


def _size(view: ExportView) -> str:
    return f"{many(view.records or 0, 'record')}, {view.bytes or 0:,} bytes"
