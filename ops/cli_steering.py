"""Steers what was named on the command line, watches it, and tries again what it did not get done."""

import json
import time
from collections.abc import Iterable, Mapping

import typer

from action_ledger.domain.actor import Asker
from action_ledger.domain.errors import InvalidParameters

from .blockers import Blocker, read_blockers
from .cli_bars import watching
from .cli_cards import show_result
from .cli_exit_codes import ExitCode
from .cli_hints import Step, within
from .cli_lookup import find, read_details
from .cli_running import run_request
from .cli_silence import Silence
from .cli_terminal import Terminal
from .cli_undoing import show_undo
from .handle import Handle
from .handles import ExecutionHandle, UndoHandle
from .ledger import Ledger
from .progress import Progress

EVERY = 0.2
"""Seconds between looks at what is watched."""
PAUSED = "paused"


def steer_execution(
    ledger: Ledger,
    terminal: Terminal,
    given: str,
    verb: str,
    *,
    by: Asker | None,
    reason: str | None,
    options: Mapping[str, object],
) -> None:
    """Pause, resume, cancel or retune, and say how it stands now."""
    execution = ledger.execution(_execution(ledger, given, verb))
    getattr(execution, verb)(by=by, reason=reason, **options)
    details = read_details(ledger.store, execution.id)
    if terminal.as_json:
        terminal.give(details.execution)
    else:
        show_result(terminal, details, execution)


def watch_job(ledger: Ledger, terminal: Terminal, given: str) -> ExitCode:
    """Show a bar, or with --json a line for each change, until it has ended or is paused."""
    found = find(ledger.store, given, newest=("execution", "undo", "redo"))
    job: Handle = (
        ExecutionHandle(ledger, found.id)
        if found.kind == "execution"
        else UndoHandle(ledger, found.id)
    )
    silence = Silence(terminal)
    with watching(terminal, found.kind) as bar:
        try:
            said, waits = None, _Waits(job)
            while (counts := _look(job, silence)).status not in {*job.ended, PAUSED}:
                bar.show(counts)
                with silence.broken():
                    bar.blocked(blockers := waits.look())
                if terminal.as_json and said != (now := (counts.processed, _pids(blockers))):
                    said = now
                    _line(terminal, _as_json(counts, blockers))
                time.sleep(EVERY)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
    if terminal.as_json:
        _line(terminal, _as_json(counts, ()))
    elif isinstance(job, ExecutionHandle):
        show_result(terminal, read_details(ledger.store, job.id), job)
    else:
        show_undo(terminal, UndoHandle(ledger, job.id), ledger)
    whole = counts.status == "completed" and not counts.failed
    return ExitCode.DONE if whole else ExitCode.PARTLY


def _look(job: Handle, silence: Silence) -> Progress:
    with silence.broken():
        return job.progress()


class _Waits:
    """Who is in the way of a job, looked up once a second."""

    def __init__(self, job: Handle) -> None:
        self._job, self._next = job, 0.0
        self._seen: list[Blocker] = []

    def look(self) -> list[Blocker]:
        if time.monotonic() >= self._next:
            self._seen = read_blockers(self._job.ledger.store, self._job.id)
            self._next = time.monotonic() + 1
        return self._seen


def _pids(blockers: Iterable[Blocker]) -> set[int]:
    return {blocker.pid for blocker in blockers}


def _as_json(counts: Progress, blockers: Iterable[Blocker]) -> dict[str, object]:
    blocked_by = [blocker.model_dump(mode="json") for blocker in blockers]
    return {**counts.model_dump(mode="json"), "blocked_by": blocked_by}


def retry_execution(
    ledger: Ledger,
    terminal: Terminal,
    given: str,
    *,
    failed: bool,
    not_processed: bool,
    by: Asker | None,
    reason: str | None,
    settings: dict[str, str] | None,
    role: str | None,
    once: str | None,
    workers: int,
    submit: bool,
    confirmed: bool,
) -> ExitCode:
    """Run the same action on what is left."""
    execution = ledger.execution(_execution(ledger, given, "retry"))
    request = execution.retry(by=by, reason=reason, failed=failed, not_processed=not_processed)
    if settings is not None or role is not None:
        request = request.context(settings, role=role)
    if once is not None:
        request = request.once(once)
    counts = execution.progress()
    code = run_request(
        ledger, terminal, request, workers=workers, submit=submit, confirmed=confirmed
    )
    if counts.pending and not counts.failed and not not_processed:
        again = ("retry", str(execution.id), "--only-not-processed", *within(execution.context))
        left = f"{counts.pending:,} records of {execution.id} were not processed"
        terminal.steps([Step(f"None had failed; {left}. Do those", again, asks=True)])
    return code


def _execution(ledger: Ledger, given: str, verb: str) -> str:
    found = find(ledger.store, given)
    if found.kind != "execution":
        detail = f"{found.id} is an {found.kind}; only executions are steered"
        raise InvalidParameters(action=verb, detail=detail)
    return str(found.id)


def _line(terminal: Terminal, value: object) -> None:
    terminal.out.file.write(json.dumps(value) + "\n")
    terminal.out.file.flush()
