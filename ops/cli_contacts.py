"""What `action-ledger actors` does and says."""

from rich.text import Text

from action_ledger.domain.actor import Asker

from .actors import ContactsVerified
from .cli_exit_codes import ExitCode
from .cli_running import ask_first
from .cli_terminal import BAD, GOOD, Terminal, clean, many
from .ledger import Ledger


def erase_contacts(
    ledger: Ledger,
    terminal: Terminal,
    subject: str,
    *,
    issuer: str | None,
    by: Asker | None,
    reason: str | None,
    confirmed: bool,
) -> None:
    """Delete the contact data of an actor, after a yes."""
    whose = f"{subject} of {issuer}" if issuer else subject
    if not confirmed:
        ask_first(
            terminal,
            f"Erase from where {clean(whose)} asked?",
            action="actors erase",
            reason="what is erased does not come back, and there is nobody to ask",
        )
    contacts = ledger.erase_actor(subject, issuer=issuer, by=by, reason=reason)
    if terminal.as_json:
        terminal.give({"subject": subject, "issuer": issuer, "contacts": contacts})
    else:
        terminal.say(f"Erased the contact data of {clean(whose)}: {many(contacts, 'command')}.")


def show_verified(terminal: Terminal, found: ContactsVerified) -> ExitCode:
    """Say how much is kept, erased and broken."""
    if terminal.as_json:
        terminal.give(found)
    else:
        style = BAD if found.broken else GOOD
        broken = Text(f"{found.broken:,} broken", style)
        terminal.say(Text.assemble(f"{found.kept:,} kept, {found.erased:,} erased, ", broken))
        if found.broken:
            at = ", ".join(map(str, found.broken_at))
            terminal.say(f"First spoken of by the events at the positions {at}.")
    return ExitCode.PARTLY if found.broken else ExitCode.DONE
