"""Shows what the reading commands ask for: executions, one of them, the audit trail, one record's history."""

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from action_ledger.domain.errors import ExecutionNotFound

from .blockers import blockers_of, read_unrecorded
from .cli_cards import past_tense, show_execution
from .cli_inbox_list import show_in_inbox
from .cli_lookup import LAST, Details, find, read_details
from .cli_outcome_tables import change_rows
from .cli_terminal import BAD, QUIET, WARN, Terminal, ago, clean, many, moment, short_moment, state
from .cli_undoing import show_undo, undo_as_json
from .cli_waits import show_unrecorded
from .cli_wanted import parse_key
from .handles import ExecutionHandle, UndoHandle
from .history import HistoryEntry
from .ledger import Ledger
from .views import AuditEntry, ExecutionView

SHORT_ID = 8


def list_executions(
    ledger: Ledger, terminal: Terminal, found: list[ExecutionView], *, chosen: bool
) -> None:
    """List executions: on a narrow terminal two lines each, so that no id is cut; else one.

    ``chosen`` says that only some were asked for. If not, work of which nothing is recorded yet comes first.
    """
    if terminal.as_json:
        terminal.give(found)
        return
    unrecorded = [] if chosen else read_unrecorded(ledger.store)
    show_unrecorded(terminal, unrecorded)
    if not found and chosen:
        terminal.say("No execution is like that.")
    elif not found and unrecorded:
        return
    elif not found:
        terminal.say("Nothing was done yet. Begin with: action-ledger run --help")
    elif terminal.narrow:
        for view in found:
            terminal.say(
                Text.assemble(str(view.id), "  ", state(view.status), f"  {ago(view.requested_at)}")
            )
            terminal.say(
                Text.assemble(f"  {view.action} of {view.table} by {view.actor}: ", _counts(view))
            )
    else:
        headers = ("ID", "STATUS", "ASKED FOR", "ACTION", "TABLE", "BY", "RECORDS")
        rows = (
            (
                view.id,
                state(view.status),
                view.requested_at,
                view.action,
                view.table,
                view.actor,
                _counts(view),
            )
            for view in found
        )
        terminal.table(headers, rows, whole=("ID", "STATUS", "ASKED FOR", "ACTION"))


def show_job(ledger: Ledger, terminal: Terminal, given: str, *, limit: int) -> None:
    """Show an execution, an undo or a redo."""
    try:
        found = find(ledger.store, given)
    except ExecutionNotFound:
        if show_in_inbox(ledger, terminal, given) or _show_unrecorded(ledger, terminal, given):
            return
        raise
    if found.kind != "execution":
        undo = UndoHandle(ledger, found.id)
        if terminal.as_json:
            terminal.give(undo_as_json(ledger, undo, limit=limit))
        else:
            show_undo(terminal, undo, ledger, limit=limit)
        return
    execution, details = ledger.execution(found.id), read_details(ledger.store, found.id)
    if terminal.as_json:
        terminal.give(_as_json(details, execution, limit))
    else:
        show_execution(terminal, details, execution, limit=limit)


def _show_unrecorded(ledger: Ledger, terminal: Terminal, given: str) -> bool:
    """Show work of which nothing is recorded yet, by its id, a part of that, or ``last``; False when there is none."""
    text = given.strip().lower()
    found = [
        job
        for job in read_unrecorded(ledger.store)
        if text == LAST or str(job.id).startswith(text) or str(job.id).endswith(text)
    ]
    if terminal.as_json and found:
        terminal.give({"status": "at work", **found[0]._asdict()})
    else:
        show_unrecorded(terminal, found)
    return bool(found)


def list_audit(
    ledger: Ledger,
    terminal: Terminal,
    given: str | None,
    *,
    actor: str | None,
    after: int | None,
    limit: int,
) -> None:
    """List events of the audit trail: from after a position, or the newest."""
    execution_id = None if given is None else find(ledger.store, given).execution_id
    entries = ledger.audit(execution_id=execution_id, actor=actor, after=after, limit=limit)
    if terminal.as_json:
        terminal.give(entries)
        return
    if not entries:
        terminal.say("There is no event like that.")
        return
    show_audit(terminal, entries, with_id=execution_id is None)
    if len(entries) == limit:
        older = "There may be older ones: --after 0 begins with the first"
        newer = f"There may be more: --after {entries[-1].position}"
        terminal.say(older if after is None else newer, QUIET)


def show_audit(terminal: Terminal, entries: Iterable[AuditEntry], *, with_id: bool) -> None:
    """Show events, one a line; the execution by the end of its id, where several may be among them."""
    rows = (
        (
            f"{entry.position}",
            short_moment(entry.recorded_at) if terminal.narrow else moment(entry.recorded_at),
            entry.topic,
            *((f"…{str(entry.execution_id)[-SHORT_ID:]}",) if with_id else ()),
            clean(entry.asked_by.told(contact_erased=entry.contact_erased)),
            _told(entry),
        )
        for entry in entries
    )
    headers = ("POS", "WHEN", "EVENT", *(("EXECUTION",) if with_id else ()), "BY", "DETAILS")
    terminal.table(headers, rows, right=("POS",), whole=("POS", "WHEN", "EVENT", "EXECUTION"))


def show_history(
    ledger: Ledger,
    terminal: Terminal,
    table: str,
    given: str,
    *,
    settings: dict[str, str] | None,
    role: str | None,
) -> None:
    """Show what was done to one record."""
    entries = ledger.history(table, parse_key(given, "KEY"), context=settings, role=role)
    if terminal.as_json:
        terminal.give(entries)
    elif not entries:
        terminal.say(f"The ledger changed nothing in record {clean(given)} of {table}.")
    else:
        history_lines(terminal, entries)


def history_lines(terminal: Terminal, entries: Iterable[HistoryEntry]) -> None:
    """Show changes of one record, each with its columns."""
    for entry in entries:
        what = (
            past_tense(entry.action, other=entry.action)
            if entry.direction == "do"
            else f"{entry.direction} of {entry.action}"
        )
        terminal.say(
            Text.assemble(
                moment(entry.recorded_at),
                "  ",
                (what, "bold"),
                f" by {clean(entry.actor)}",
                f", {clean(entry.reason)}" if entry.reason else "",
            )
        )
        terminal.say(f"  execution {entry.execution_id}", QUIET)
        for _, name, before, after in change_rows(terminal, "", entry.before, entry.after):
            terminal.say(Text.assemble("  ", name, ": ", before, " → ", after))


def _counts(view: ExecutionView) -> Text:
    text = Text(f"{view.applied:,} of {view.total:,}{'' if view.total_final else '+'}")
    if view.skipped:
        text.append(f", {view.skipped:,} skipped", WARN)
    if view.undone:
        text.append(f", {view.undone:,} undone", WARN)
    if view.failed:
        text.append(f", {view.failed:,} failed", BAD)
    if view.error:
        text.append(f", {view.error}", BAD)
    return text


def _told(entry: AuditEntry) -> str:
    """Say what an event says, but for digests and what is plain from the rest of the line."""
    details = entry.details
    tally: dict[str, int] = details.get("tally", {})
    skipped = "skipped" if entry.undo_id is None else "left"
    told = [
        f"{details['action']} {details['table']}" if "action" in details else "",
        f"batch {details['number']}" if "number" in details else "",
        many(details["batches"], "batch") if "batches" in details else "",
        many(details["records"], "record") if details.get("records") is not None else "",
        f"{details['count']:,} missed" if "count" in details else "",
        f"due {details['occurrence']}" if "occurrence" in details else "",
        f"next {details['due_at']}" if details.get("due_at") else "",
        *(
            f"{tally[name]:,} {said}"
            for name, said in (("applied", "applied"), ("skipped", skipped), ("failed", "failed"))
            if tally.get(name)
        ),
        f"confirmed by preview {details['preview_id']}" if details.get("preview_id") else "",
        f"on conflict {details['policy']}" if "policy" in details else "",
        *(f"{number:,} {code}" for code, number in details.get("sqlstates", {}).items()),
        f"except {', '.join(details['excepted'])}" if details.get("excepted") else "",
        f"error {details['error']}" if details.get("error") else "",
    ]
    return ", ".join(part for part in told if part)


def _as_json(details: Details, execution: ExecutionHandle, limit: int) -> dict[str, Any]:
    found = details.model_dump(mode="json")
    return {
        **found.pop("execution"),
        **found,
        "failures": [one for _, one in zip(range(limit), execution.failures(), strict=False)],
        "progress": execution.progress(),
        "blocked_by": blockers_of(execution, details.execution.ended_at),
    }
