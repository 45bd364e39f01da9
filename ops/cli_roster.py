"""Shows the roster of workers."""

from collections.abc import Iterator

from rich.text import Text

from .cli_terminal import BAD, GOOD, QUIET, Terminal, ago, moment
from .roster import UnitInHand, WorkerState, WorkerView

SHORT_ID = 8
STYLES = {
    WorkerState.WORKING: "cyan",
    WorkerState.IDLE: GOOD,
    WorkerState.LOST: BAD,
}


def list_workers(terminal: Terminal, found: list[WorkerView]) -> None:
    """List workers, each with what it had in hand at its last heartbeat."""
    if terminal.as_json:
        terminal.give(found)
        return
    if not found:
        terminal.say("No worker is there. Start one with: action-ledger worker")
        return
    rows = (
        (
            view.name,
            f"{view.host}, {view.pid}",
            view.version,
            Text(view.state, STYLES.get(view.state, "")),
            "every queue" if view.queues is None else ", ".join(view.queues),
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


def _units(view: WorkerView) -> Iterator[str]:
    yield from (_unit(unit, view) for unit in view.units)


def _unit(unit: UnitInHand, view: WorkerView) -> str:
    job = unit.undo_id or unit.execution_id
    number = "" if unit.number is None else f" {unit.number}"
    seconds = (view.heartbeat_at - unit.since).total_seconds()
    return f"{unit.kind}{number} of …{str(job)[-SHORT_ID:]} for {seconds:.0f} s"
