"""Holds what is asked for to the limits, under a lock of the actor's own: however many ask at once, no more get in."""

from collections.abc import Sequence
from typing import Any

from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.errors import LimitReached, TooManyRecords
from action_ledger.domain.limits import AllLimits, Scoped
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .cutter import Cut

SQL = read_blocks("action_ledger.workers", "limits.sql")


def require_room(transaction: Transaction, command: RequestExecution, limits: AllLimits) -> None:
    """Make sure that the actor may ask for one more execution, and keep its others waiting until this one is there.

    An advisory lock, taken before anything else: the append lock is everybody's, and would be held for longer.
    Raises LimitReached.
    """
    counting = [one for one in limits.of(command.action) if one.limits.of_actors]
    if not counting:
        return
    whose = {
        "schema": transaction.schema_name,
        "actor": command.actor.subject,
        "issuer": command.actor.issuer,
    }
    transaction.execute(SQL["take_turn"], whose)
    for one in counting:
        values = {
            **whose,
            "action": one.action,
            **one.limits.model_dump(include={"per_minute", "cooldown_seconds", "cooldown_records"}),
        }
        usage = transaction.execute(SQL["usage"], values).fetchone()
        if usage is not None:
            _compare(command.actor.subject, one, usage)


def _compare(actor: str, one: Scoped, usage: dict[str, Any]) -> None:
    limits, action = one
    if limits.concurrent is not None and usage["under_way"] >= limits.concurrent:
        raise LimitReached(
            limit="concurrent", allowed=limits.concurrent, actor=actor, action=action
        )
    if limits.per_minute is not None and usage["rate_until"] is not None:
        raise LimitReached(
            limit="per_minute",
            allowed=limits.per_minute,
            actor=actor,
            action=action,
            retry_at=usage["rate_until"],
        )
    if limits.cooldown_seconds is not None and usage["cooldown_until"] is not None:
        raise LimitReached(
            limit="cooldown",
            allowed=limits.cooldown_records,
            actor=actor,
            action=action,
            retry_at=usage["cooldown_until"],
        )


def check_records(cuts: Sequence[Cut], *, action: str, most: int | None) -> None:
    """Raise TooManyRecords for a plan of more records than an execution may have."""
    records = sum(cut.records for cut in cuts)
    if most is not None and records > most:
        raise TooManyRecords(action=action, records=records, allowed=most)
