"""A schedule as a caller says it: what runs, and when, by a time or a cron expression, with a zone."""

from datetime import datetime

from pydantic import ValidationError
from uuid_utils.compat import uuid7

from action_ledger.domain.commands import CreateSchedule, RequestExecution
from action_ledger.domain.errors import InvalidSchedule
from action_ledger.domain.findings import wrong_fields
from action_ledger.domain.rule import At, Cron


def rule_of(*, at: datetime | str | None, cron: str | None, timezone: str | None) -> At | Cron:
    """Make the rule. Raises InvalidSchedule; what is wrong with a zone or an expression, the ledger says later.

    The zone of an aware time is kept for showing it. ``fold=1`` chooses the second of two equal local times.
    """
    if (at is None) == (cron is None):
        raise InvalidSchedule(detail="give either a time (at) or a cron expression (cron)")
    try:
        if cron is not None:
            return Cron(cron=cron, timezone=timezone)
        rule = At.model_validate({"at": at, "timezone": timezone or _zone_of(at)})
    except ValidationError as error:
        raise invalid_schedule(error) from error
    if rule.at.tzinfo is None and rule.at.fold:
        rule = rule.model_copy(update={"at": rule.moment()})  # JSON has no word for the second one
    return rule


def schedule_command(
    execution: RequestExecution, rule: At | Cron, *, catch_up: str, keep: str
) -> CreateSchedule:
    """Make the command that schedules an execution. Raises InvalidSchedule."""
    try:
        return CreateSchedule.model_validate(
            {
                "command_id": uuid7(),
                "actor": execution.actor,
                "reason": execution.reason,
                "rule": rule,
                "catch_up": catch_up,
                "keep": keep,
                "once": execution.once,
                "execution": execution.model_copy(update={"once": None}),
            }
        )
    except ValidationError as error:
        raise invalid_schedule(error) from error


def invalid_schedule(error: ValidationError) -> InvalidSchedule:
    """Say in the ledger's own words what pydantic found wrong."""
    return InvalidSchedule(detail=wrong_fields(error))


def _zone_of(at: object) -> str | None:
    """Name the zone that an aware time came with, where it has a name."""
    return getattr(at.tzinfo, "key", None) if isinstance(at, datetime) else None
