"""Shows deliveries to hooks."""

from rich.text import Text

from .cli_terminal import BAD, QUIET, WARN, Terminal, ago, clean, many
from .hooks import DeliveryView


def list_deliveries(terminal: Terminal, found: list[DeliveryView]) -> None:
    """List what is still to be told."""
    if terminal.as_json:
        terminal.give(found)
        return
    if not found:
        terminal.say("Nothing is to be told.")
        return
    rows = (
        (one.hook, one.event, one.kind, one.job_id, ago(one.happened_at), _standing(one))
        for one in found
    )
    terminal.table(("HOOK", "OF", "KIND", "JOB", "NEWS", "STANDING"), rows, whole=("JOB",))
    if any(one.parked_at for one in found):
        text = "What was given up is tried again by: action-ledger hooks retry"
        terminal.say(text, QUIET)
    if any(one.attempts == 0 for one in found):
        text = (
            "What nobody has tried waits for a worker whose program knows the hook,"
            " or there for the hook that is being called."
        )
        terminal.say(text, QUIET)


def say_retried(terminal: Terminal, deliveries: int) -> None:
    """Say how many deliveries are due again."""
    if terminal.as_json:
        terminal.give({"retried": deliveries})
    elif deliveries == 0:
        terminal.say("No hook has failed at anything.")
    else:
        terminal.say(f"{many(deliveries, 'call')} will be tried again by the workers.")


def _standing(one: DeliveryView) -> Text:
    if one.attempts == 0:
        return Text("not tried yet")
    tried = f"tried {many(one.attempts, 'time')}"
    error = ": no answer yet" if one.last_error is None else f": {clean(one.last_error)}"
    if one.parked_at:
        return Text(f"given up, {tried}{error}", BAD)
    return Text(f"{tried}{error}", WARN)
