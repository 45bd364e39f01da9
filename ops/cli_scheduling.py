"""Makes, shows and steers schedules that were named on the command line."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from rich.text import Text

from action_ledger.domain.actor import Asker
from action_ledger.domain.errors import ScheduleNotFound
from action_ledger.domain.rule import At, local_time

from .cli_lookup import find_row, read_details
from .cli_next_steps import show_waiting
from .cli_running import confirm
from .cli_terminal import BAD, QUIET, WARN, Terminal, ago, clean, many, state
from .cli_wanted import Wanted
from .ledger import Ledger
from .roster import read_serving
from .rules import rule_of
from .schedule_handles import ScheduleHandle
from .schedule_views import SQL, ScheduleRun, ScheduleView, Upcoming

NEXT = 3


def schedule_wanted(
    ledger: Ledger,
    terminal: Terminal,
    wanted: Wanted,
    *,
    at: str | None,
    cron: str | None,
    timezone: str | None,
    catch_up: str,
    selection: str,
    confirmed: bool,
) -> None:
    """Schedule it. Raises ConfirmationRequired where nobody can be asked about what destroys."""
    request = wanted.request(ledger)
    if ledger.actions.get(wanted.action).destructive and not confirmed:
        confirm(terminal, lambda: wanted.request(ledger))
    handle = request.schedule(
        at=at, cron=cron, timezone=timezone, catch_up=catch_up, selection=selection
    )
    view, moved = handle.view(), _moved_from(at=at, cron=cron, timezone=timezone)
    if terminal.as_json:
        terminal.give({**view.model_dump(mode="json"), "moved_from": moved})
        return
    terminal.say(f"Schedule {handle.id} runs {_rule(view)}, next {_due(view)}.")
    _say_moved(terminal, view, moved)
    if view.records is not None:
        terminal.say(f"Its selection is frozen: {many(view.records, 'record')}.")
    if not read_serving(ledger.store, request.options["queue"]):
        terminal.say("No worker is there to run it: action-ledger worker", QUIET)
    terminal.say(f"See how it goes: action-ledger schedules show {handle.id}", QUIET)


def list_schedules(terminal: Terminal, found: list[ScheduleView]) -> None:
    """List schedules: on a narrow terminal two lines each, so that no id is cut; else one."""
    if terminal.as_json:
        terminal.give(found)
    elif not found:
        terminal.say("There is no schedule. Begin with: action-ledger schedule --help")
    elif terminal.narrow:
        for view in found:
            terminal.say(Text.assemble(str(view.id), "  ", state(view.status)))
            terminal.say(
                f"  {view.action} of {view.table} by {clean(view.actor)}, {_rule(view)}: next {_due(view)}"
            )
    else:
        headers = ("ID", "STATUS", "NEXT", "RULE", "ACTION", "TABLE", "BY", "RUNS")
        rows = (
            (
                view.id,
                state(view.status),
                _due(view),
                _rule(view),
                view.action,
                view.table,
                view.actor,
                _counts(view),
            )
            for view in found
        )
        terminal.table(headers, rows, whole=("ID", "STATUS", "NEXT"))


def show_schedule(ledger: Ledger, terminal: Terminal, given: str, *, limit: int) -> None:
    """Show a schedule, its next runs, and what became of those before."""
    handle = find_schedule(ledger, given)
    view, runs, next_ = handle.view(), handle.runs(limit), handle.upcoming(NEXT)
    reason, trying = _apart(ledger, handle.id)
    if terminal.as_json:
        found = {**view.model_dump(mode="json"), "reason": reason, "trying": trying}
        terminal.give({**found, "upcoming": next_, "runs": runs})
        return
    terminal.say(Text.assemble(("Schedule ", "bold"), str(view.id), "  ", state(view.status)))
    terminal.facts(
        (
            ("action", f"{view.action} of {view.table}"),
            ("runs", _rule(view)),
            ("records", "chosen at each run" if view.records is None else view.records),
            ("asked for by", view.actor),
            ("reason", reason),
            ("if missed", view.catch_up),
            ("next", _due(view)),
            ("so far", _counts(view)),
            ("in trouble", _trouble(trying)),
        )
    )
    if len(next_) > 1:
        terminal.say("\nThe next runs", "bold")
        show_upcoming(terminal, next_)
    if runs:
        terminal.say("\nWhat became of the runs before", "bold")
        _runs_table(terminal, runs, view.timezone)


def show_upcoming(terminal: Terminal, found: Sequence[Upcoming]) -> None:
    """List what is due next."""
    if terminal.as_json:
        terminal.give(found)
        return
    if not found:
        terminal.say("Nothing is due.")
        return
    rows = ((_local(one.local), one.action, one.table, one.schedule_id) for one in found)
    terminal.table(("WHEN", "ACTION", "TABLE", "SCHEDULE"), rows, whole=("WHEN", "SCHEDULE"))


def steer(
    ledger: Ledger, terminal: Terminal, given: str, act: Callable[[ScheduleHandle], None]
) -> None:
    """Do something to a schedule, and say how it stands then."""
    handle = find_schedule(ledger, given)
    act(handle)
    view = handle.view()
    if terminal.as_json:
        terminal.give(view)
    else:
        _say_standing(terminal, view)


def reschedule(
    ledger: Ledger,
    terminal: Terminal,
    given: str,
    *,
    at: str | None,
    cron: str | None,
    timezone: str | None,
    by: str | None,
    reason: str | None,
) -> None:
    """Give a schedule another rule, and say when it is due by that."""
    handle = find_schedule(ledger, given)
    handle.reschedule(at=at, cron=cron, timezone=timezone, by=by, reason=reason)
    view, moved = handle.view(), _moved_from(at=at, cron=cron, timezone=timezone)
    if terminal.as_json:
        terminal.give({**view.model_dump(mode="json"), "moved_from": moved})
        return
    _say_standing(terminal, view)
    _say_moved(terminal, view, moved)


def run_schedule_now(
    ledger: Ledger, terminal: Terminal, given: str, *, by: Asker | None, reason: str | None
) -> None:
    """Run a schedule out of turn, and leave it to the workers."""
    execution = find_schedule(ledger, given).run_now(by=by, reason=reason)
    if terminal.as_json:
        terminal.give(read_details(ledger.store, execution.id).execution)
    else:
        show_waiting(terminal, execution, "Execution")


def find_schedule(ledger: Ledger, given: str) -> ScheduleHandle:
    """Find a schedule by its whole id, its beginning or its end, or as ``last``.

    Raises:
        ScheduleNotFound: There is none.
        AmbiguousId: There are several.
    """
    with ledger.store.transaction() as transaction:
        row = find_row(transaction, SQL, given)
    if row is None:
        raise ScheduleNotFound(schedule_id=given)
    return ScheduleHandle(ledger, row["id"])


def _say_standing(terminal: Terminal, view: ScheduleView) -> None:
    text = Text.assemble(f"Schedule {view.id} is ", state(view.status))
    terminal.say(text + Text(f", next {_due(view)}." if view.due_at else "."))


def _moved_from(*, at: str | None, cron: str | None, timezone: str | None) -> str | None:
    """Give the local time that was asked for, where the clocks skip it and it is another by that."""
    rule = rule_of(at=at, cron=cron, timezone=timezone)
    return rule.at.isoformat() if isinstance(rule, At) and rule.skipped else None


def _say_moved(terminal: Terminal, view: ScheduleView, moved: str | None) -> None:
    if moved is not None and view.at is not None:
        skipped = f"The clocks of {view.timezone} skip {moved.replace('T', ' ')}"
        terminal.say(f"{skipped}: it runs right after the gap, at {_local(view.at)}.", WARN)


def _apart(ledger: Ledger, schedule_id: UUID) -> tuple[str | None, dict[str, Any] | None]:
    """Read why it was asked for, and what a firing met that is being tried again."""
    with ledger.store.transaction() as transaction:
        reason = transaction.execute(SQL["reason"], {"id": schedule_id}).fetchone()
        trying = transaction.execute(SQL["trying"], {"id": schedule_id}).fetchone()
    return (reason["reason"] if reason else None), trying


def _runs_table(terminal: Terminal, runs: Sequence[ScheduleRun], zone: str) -> None:
    rows = (
        (_when(run, zone), state(run.outcome), _outcome(run), run.execution_id or "")
        for run in runs
    )
    headers = ("DUE", "OUTCOME", "RECORDS", "EXECUTION")
    terminal.table(headers, rows, whole=("DUE", "OUTCOME", "EXECUTION"))


def _when(run: ScheduleRun, zone: str) -> str:
    first = _local(local_time(run.occurrence, zone))
    return first if run.occurrences == 1 else f"{first} and {run.occurrences - 1:,} more"


def _outcome(run: ScheduleRun) -> Text:
    if run.execution_id is None:
        return Text(run.error or "", BAD)
    text = Text.assemble(state(run.status or ""), f", {run.applied or 0:,} applied")
    if run.manual:
        text.append(", out of turn", QUIET)
    if run.skipped:
        text.append(f", {run.skipped:,} skipped", WARN)
    if run.failed:
        text.append(f", {run.failed:,} failed", BAD)
    if run.error:
        text.append(f", {run.error}", BAD)
    return text


def _counts(view: ScheduleView) -> Text:
    text = Text(f"{view.fired:,}")
    if view.missed:
        text.append(f", {view.missed:,} missed", WARN)
    if view.failed:
        text.append(f", {view.failed:,} refused ({view.last_error})", BAD)
    return text


def _trouble(trying: dict[str, Any] | None) -> Text | None:
    if trying is None:
        return None
    again = ago(trying["available_at"])
    return Text(
        f"tried {many(trying['attempts'], 'time')}, {trying['last_error']}; again {again}", WARN
    )


def _rule(view: ScheduleView) -> str:
    if view.cron is not None:
        return f"by cron {view.cron} in {view.timezone}"
    return f"once at {_local(view.at)} in {view.timezone}" if view.at else ""


def _due(view: ScheduleView) -> str:
    return "never" if view.due_at is None else _local(view.due_at)


def _local(moment: datetime) -> str:
    """Show a time by the clocks of its own zone."""
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z")
