"""Shows record locks."""

from rich.text import Text

from .cli_terminal import QUIET, WARN, Terminal, ago
from .locks import LockView


def list_locks(terminal: Terminal, found: list[LockView]) -> None:
    """List them, each with its owner and what it waits for."""
    if terminal.as_json:
        terminal.give(found)
        return
    if not found:
        terminal.say("No records are locked.")
        return
    rows = (
        (
            str(view.undo_id or view.execution_id),
            "execution" if view.undo_id is None else "undo",
            view.table,
            f"{view.records:,}",
            Text(view.status, WARN if view.waits_for else ""),
            ago(view.since),
            view.actor,
            view.owner_status,
            Text(", ".join(map(str, view.waits_for)) or "nobody", "" if view.waits_for else QUIET),
        )
        for view in found
    )
    headers = ("OWNER", "WHAT", "TABLE", "RECORDS", "LOCK", "SINCE", "BY", "STATUS", "WAITS FOR")
    terminal.table(headers, rows, right=("RECORDS",), whole=("OWNER", "LOCK"))
