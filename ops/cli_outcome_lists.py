"""Lists the records of a job by what became of them: as a table, as CSV, or as JSON, one a line."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from action_ledger.domain.errors import InvalidParameters

from .cli_lookup import Found, find
from .cli_outcome_tables import changes_table, conflicts_table, failures_table, key_text
from .cli_terminal import QUIET, Terminal
from .handles import ExecutionHandle, UndoHandle
from .ledger import Ledger
from .outcomes import Outcome

FORMS = ("table", "csv", "ndjson")
SHOWN = 20
APPLIED, FAILED, SKIPPED, CONFLICT = "applied", "failed", "skipped", "conflict"
NOT_PROCESSED = "not-processed"
IMAGES = ("before", "after", "recorded", "current")
COLUMNS = ("table", "key", "batch", "outcome", "reason", "sqlstate", "constraint", "message")


def list_outcomes(
    ledger: Ledger, terminal: Terminal, given: str, *, kind: str, form: str, limit: int | None
) -> None:
    """Write them, streamed, however many there are."""
    if form not in FORMS:
        detail = f"--format is one of {', '.join(FORMS)}, not {form}"
        raise InvalidParameters(action="outcomes", detail=detail)
    job = find(ledger.store, given)
    found = _found(ledger, job, kind)
    own = ledger.execution(job.execution_id).row()["table_name"]
    if form == "table":
        shown = list(islice(found, SHOWN if limit is None else limit))
        _table(terminal, kind, shown, own)
        return
    rows = (_row(one, own) for one in (found if limit is None else islice(found, limit)))
    if form == "csv":
        _csv(terminal, kind, rows)
        return
    for row in rows:
        terminal.out.file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _found(ledger: Ledger, job: Found, kind: str) -> Iterator[Any]:
    execution, undo = ExecutionHandle(ledger, job.id), UndoHandle(ledger, job.id)
    readers = (
        {
            APPLIED: execution.changes,
            FAILED: execution.failures,
            SKIPPED: execution.skipped,
            NOT_PROCESSED: execution.not_processed,
        }
        if job.kind == "execution"
        else {CONFLICT: undo.conflicts, FAILED: undo.failures, SKIPPED: undo.skipped}
    )
    if kind not in readers:
        detail = f"--kind of an {job.kind} is one of {', '.join(readers)}, not {kind}"
        raise InvalidParameters(action="outcomes", detail=detail)
    return iter(readers[kind]())


def _table(terminal: Terminal, kind: str, shown: list[Any], own: str) -> None:
    if not shown:
        terminal.say(f"No record is {kind.replace('-', ' ')}.", QUIET)
    elif kind == APPLIED:
        changes_table(terminal, shown, own=own)
    elif kind == CONFLICT:
        conflicts_table(terminal, shown)
    else:
        failures_table(terminal, shown)


def _row(one: Outcome | Mapping[str, Any], own: str) -> dict[str, Any]:
    """Make a row, with the table that it is of: the job's own, unless it came along through a foreign key."""
    row = one.model_dump(mode="json") if isinstance(one, Outcome) else dict(one)
    return {**row, "table": row["table"] or own}


def _csv(terminal: Terminal, kind: str, rows: Iterable[dict[str, Any]]) -> None:
    columns = {
        APPLIED: ("table", "key", "batch", "before", "after"),
        CONFLICT: (*COLUMNS, "recorded", "current"),
    }.get(kind, COLUMNS)
    writer = csv.writer(terminal.out.file)
    writer.writerow(columns)
    for row in rows:
        images = {name: _image(row[name]) for name in IMAGES if name in row}
        shown = {**row, "key": key_text(row["key"]), **images}
        writer.writerow([shown[name] for name in columns])


def _image(image: object) -> str | None:
    return None if image is None else json.dumps(image, ensure_ascii=False)
