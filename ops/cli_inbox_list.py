"""Shows the inbox: its list, and one command of it."""

from rich.text import Text

from .cli_terminal import BAD, WARN, Terminal, ago, clean
from .inbox import REJECTED, InboxEntry
from .ledger import Ledger


def list_inbox(terminal: Terminal, found: list[InboxEntry]) -> None:
    """List commands, the newest first."""
    if terminal.as_json:
        terminal.give(found)
        return
    if not found:
        terminal.say("Nothing waits to be taken in, and nothing was rejected.")
    for entry in found:
        _show(terminal, entry)


def show_in_inbox(ledger: Ledger, terminal: Terminal, given: str) -> bool:
    """Show a command that is in the inbox still, by its id or the beginning of it; False when there is none."""
    text = given.strip().lower()
    entry = next(
        (one for one in ledger.inbox.entries(limit=1_000) if str(one.command_id).startswith(text)),
        None,
    )
    if entry is None:
        return False
    if terminal.as_json:
        terminal.give(entry)
    else:
        _show(terminal, entry)
    return True


def _show(terminal: Terminal, entry: InboxEntry) -> None:
    what = entry.command.replace("_", " ")
    on = f": {entry.action} of {clean(entry.table or '')}" if entry.action else f" {entry.subject}"
    style = BAD if entry.status == REJECTED else WARN
    terminal.say(Text.assemble(str(entry.command_id), "  ", (entry.status, style)))
    terminal.say(f"  {what}{on}, by {clean(entry.actor)}, {ago(entry.accepted_at)}")
    if entry.detail:
        terminal.say(f"  {entry.error}: {clean(entry.detail)}", BAD)
    elif entry.error:
        terminal.say(f"  tried {entry.attempts} times, and is tried again: {entry.error}", WARN)
