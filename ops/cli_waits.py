"""Says for whom work under way waits: of each session that holds a lock, its pid, program, user and state."""

from collections.abc import Iterable

from rich.text import Text

from .blockers import Blocker, Unrecorded
from .cli_terminal import WARN, Terminal, clean, duration


def waits_text(blockers: Iterable[Blocker]) -> str | None:
    """Say who is waited for, as "waits for a row lock held by pid 4711 (...)"; None where nobody is."""
    held = [f"a {blocker.lock} lock held by {_session(blocker)}" for blocker in blockers]
    return f"waits for {' and '.join(held)}" if held else None


def show_waits(terminal: Terminal, blockers: Iterable[Blocker]) -> None:
    """Show that, if there is somebody."""
    if text := waits_text(blockers):
        terminal.say(f"  {text}", WARN)


def show_unrecorded(terminal: Terminal, found: Iterable[Unrecorded]) -> None:
    """Show work of which nothing is recorded yet, and for whom it waits."""
    for job in found:
        terminal.say(Text.assemble(str(job.id), "  ", ("at work", WARN)))
        terminal.say("  not recorded yet: what fits one batch is recorded when it is done")
        show_waits(terminal, job.blocked_by)


def _session(blocker: Blocker) -> str:
    if not blocker.pid:
        return "a prepared transaction"
    state = blocker.state
    if state is not None and blocker.seconds is not None:
        state = f"{state} for {duration(blocker.seconds)}"
    known = [blocker.application, blocker.login and f"user {blocker.login}", state]
    facts = ", ".join(clean(fact) for fact in known if fact)
    return f"pid {blocker.pid}" + (f" ({facts})" if facts else "")
