"""Shows the roster of workers."""

from collections.abc import Iterator

from rich.text import Text

from .cli_terminal import BAD, GOOD, QUIET, Terminal, ago, clean, moment
from .roster import UnitInHand, WorkerState, WorkerView

SHORT_ID = 8
STYLES = {
    WorkerState.WORKING: "cyan",
    WorkerState.IDLE: GOOD,
    WorkerState.LOST: BAD,
}


def list_workers(terminal: Terminal, found: list[WorkerView]) -> None:
    """List workers, each with what it had in hand at its last heartbeat; on a narrow terminal a few lines each."""
    if terminal.as_json:
        terminal.give(found)
        return
    if not found:
        terminal.say("No worker is there. Start one with: action-ledger worker")
        return
    if terminal.narrow:
        for view in found:
            _tell(terminal, view)
        return
    rows = (
        (
            view.name,
            f"{view.host}, {view.pid}",
            view.version,
            _state(view),
            _queues(view),
            view.concurrency,
            view.units_done,
            moment(view.started_at),
            ago(view.heartbeat_at),
            Text("; ".join(_units(view)) or "nothing", "" if view.units else QUIET),
        )
        for view in found
    )
    headers = (
        *("NAME", "HOST, PID", "VERSION", "STATE", "QUEUES", "AT ONCE"),
        *("UNITS", "SINCE", "HEARD OF", "IN HAND"),
    )
    terminal.table(headers, rows, right=("AT ONCE", "UNITS"), whole=("STATE", "SINCE"))


def _tell(terminal: Terminal, view: WorkerView) -> None:
    """Tell of one worker in a few lines, where a table would break every word."""
    terminal.say(Text.assemble(clean(view.name), "  ", _state(view)))
    terminal.say(
        f"  {view.host}, {view.pid}, with {view.version}: {_queues(view)}, {view.concurrency} at once"
    )
    since, heard = moment(view.started_at), ago(view.heartbeat_at)
    terminal.say(f"  {view.units_done:,} units since {since}, heard of {heard}")
    terminal.say(f"  in hand: {'; '.join(_units(view)) or 'nothing'}")


def _state(view: WorkerView) -> Text:
    return Text(view.state, STYLES.get(view.state, ""))


def _queues(view: WorkerView) -> str:
    return "every queue" if view.queues is None else ", ".join(view.queues)


def _units(view: WorkerView) -> Iterator[str]:
    yield from (_unit(unit, view) for unit in view.units)


def _unit(unit: UnitInHand, view: WorkerView) -> str:
    job = unit.undo_id or unit.execution_id
    number = "" if unit.number is None else f" {unit.number}"
    seconds = (view.heartbeat_at - unit.since).total_seconds()
    return f"{unit.kind}{number} of …{str(job)[-SHORT_ID:]} for {seconds:.0f} s"
