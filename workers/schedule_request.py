"""Takes a new schedule in: checks when and what it is to run, freezes its selection if wanted, and records it."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from action_ledger.domain.actions import Actions
from action_ledger.domain.commands import CreateSchedule, RequestExecution
from action_ledger.domain.errors import InvalidCron, SelectionTwice, TimeInPast, TimeTooFar, shown
from action_ledger.domain.rule import At, Cron, next_after
from action_ledger.domain.schedule import Created, Schedule
from action_ledger.domain.selection import Keys, KeyValue
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .actors import metadata_of
from .bodies import save_body
from .compile import Compiled, check_request, compile_request
from .cutter import Cut, Cutter
from .open_schedule import ScheduleBody, Story
from .planner import MOVED_AT_ONCE, cut_selection
from .request_body import body_of
from .steps import reached
from .table import reference_of

SQL = read_blocks("action_ledger.workers", "schedules.sql")


class ScheduleRequest:
    """One command, on its way into the ledger."""

    def __init__(
        self, transaction: Transaction, actions: Actions, command: CreateSchedule, max_days: int
    ) -> None:
        self._transaction = transaction
        self._actions = actions
        self._command = command
        self._max_days = max_days

    def accept(self, *, streamed: Iterable[KeyValue] | None = None) -> None:
        """Record it, in the caller's transaction. What is wrong in any way leaves nothing."""
        command, transaction = self._command, self._transaction
        due = first_due(command.rule, time_of(transaction), self._max_days)
        request = body_of(command.execution)
        compiled = compile_request(transaction, self._actions, request)
        table = compiled.change.table
        check_request(transaction, self._actions, compiled.request, table)
        execution = _kept(command.execution, compiled)
        digest = save_body(
            transaction,
            command.command_id,
            ScheduleBody(
                fingerprint=command.fingerprint,
                reason=command.reason,
                execution=execution,
                key=tuple(column.name for column in table.key),
            ),
        )
        cuts = self._cut(compiled, execution, streamed)
        story = Story(Schedule.new(command.command_id), metadata_of(transaction, command))
        story.tell(
            Created,
            **told_of(command.rule),
            catch_up=command.catch_up,
            action=execution.action,
            table=reference_of(table),
            selection=execution.selection.kind,
            body_digest=digest,
            records=None if cuts is None else sum(cut.records for cut in cuts),
            keys_digest=None if cuts is None else _digest_of(cuts),
            queue=execution.queue,
            priority=execution.priority,
            due_at=due,
        )
        reached("schedule.before_append")
        transaction.append(*story.events)
        reached("schedule.before_commit")

    def _cut(
        self,
        compiled: Compiled,
        execution: RequestExecution,
        streamed: Iterable[KeyValue] | None,
    ) -> list[Cut] | None:
        """Cut the selection now, where it is frozen; the key sets are the schedule's own."""
        selection = self._command.execution.selection
        if self._command.keep == "evaluated" and not isinstance(selection, Keys):
            if streamed is not None:
                raise SelectionTwice(first=selection.kind, second="keys")
            return None
        cutter = Cutter(
            self._transaction,
            compiled.change.table,
            self._command.command_id,
            execution.batch_size,
        )
        return cut_selection(cutter, compiled.select, selection, streamed)


def _kept(execution: RequestExecution, compiled: Compiled) -> RequestExecution:
    """Give what is kept of an execution: without its keys, which go to key sets, and gated where keys change."""
    changed: dict[str, object] = {}
    if isinstance(execution.selection, Keys):
        changed["selection"] = Keys(keys=None)
    if compiled.change.moves_keys:
        changed |= {"planning": "gated", "batch_size": MOVED_AT_ONCE}
    return execution.model_copy(update=changed)


def _digest_of(cuts: Iterable[Cut]) -> str:
    return hashlib.sha256("".join(cut.digest for cut in cuts).encode()).hexdigest()


def time_of(transaction: Transaction) -> datetime:
    """Read the database's clock."""
    row = transaction.execute(SQL["now"]).fetchone()
    if row is None:
        message = "a SELECT without FROM gives a row"
        raise AssertionError(message)
    now: datetime = row["now"]
    return now


def first_due(rule: At | Cron, now: datetime, max_days: int) -> datetime:
    """Give a rule's first occurrence. Raises what is wrong with the rule, TimeInPast and TimeTooFar."""
    rule.check()
    if isinstance(rule, At):
        moment = rule.moment()
        if moment <= now:
            raise TimeInPast(at=moment, now=now)
        if moment - now > timedelta(days=max_days):
            raise TimeTooFar(at=moment, days=max_days)
        return moment
    due = next_after(rule, now)
    if due is None:
        raise InvalidCron(expression=shown(rule.cron), detail="its time never comes")
    return due


def told_of(rule: At | Cron) -> dict[str, object]:
    """Give the fields of an event that say a rule."""
    at = rule.moment() if isinstance(rule, At) else None
    cron = " ".join(rule.cron.split()) if isinstance(rule, Cron) else None
    return {"at": at, "cron": cron, "timezone": rule.zone}
