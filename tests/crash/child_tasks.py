"""What a child does other than to work: it asks for an undo, looks first, steers, sweeps, follows or rebuilds."""

from collections.abc import Callable
from typing import Any

import psycopg

from action_ledger.domain import Notice
from action_ledger.domain.actor import Actor
from action_ledger.domain.columns import col
from action_ledger.ops import Ledger
from action_ledger.workers.sweep import sweep


def _undo(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).undo(by="child").submit()


def _preview(ledger: Ledger, table: Any) -> None:
    ledger.on(table).all().update(score=1).by("child").preview()


def _cancel(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).cancel(by="child")


def _break_lock(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).break_lock(by="child")


def _step(ledger: Ledger, execution: Any) -> None:
    ledger.worker().step(ledger.execution(execution).id)


def _pause(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).pause(by="child")


def _resume(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).resume(by="child")


def _retune(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).retune(by="child", rate=1_000_000)


def _sweep(ledger: Ledger, execution: Any) -> None:
    sweep(ledger.store, execution)


def _follow(ledger: Ledger, _: Any) -> None:
    ledger.catch_up()


def _rebuild(ledger: Ledger, name: Any) -> None:
    ledger.projections.rebuild([name])


def _chain(ledger: Ledger, _: Any) -> None:
    request = ledger.on("places").all().update(score=col("score") + 1)
    request.then(request).then(request).by("child").submit()


def _move(ledger: Ledger, chain: Any) -> None:
    ledger.chain(chain).finish()


def _cancel_chain(ledger: Ledger, chain: Any) -> None:
    ledger.chain(chain).cancel(by="child")


def _undo_chain(ledger: Ledger, chain: Any) -> None:
    ledger.chain(chain).undo(by="child")


def _deliver(ledger: Ledger, url: Any) -> None:
    def told(notice: Notice) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO calls VALUES (%s, %s)", [notice.delivery_id, notice.attempt]
            )

    ledger.hooks.register("told", told)
    ledger.hooks.deliver()


def _take_in(ledger: Ledger, _: Any) -> None:
    ledger.inbox.take_in()


def _clean(ledger: Ledger, _: Any) -> None:
    ledger.exports.clean(days=0)


def _erase(ledger: Ledger, subject: Any) -> None:
    by = Actor(subject="child", address="10.0.0.9")
    ledger.erase_actor(subject, issuer="https://idp", by=by)


TASKS: dict[str, Callable[[Ledger, Any], None]] = {
    "undo": _undo,
    "preview": _preview,
    "cancel": _cancel,
    "break_lock": _break_lock,
    "step": _step,
    "pause": _pause,
    "resume": _resume,
    "retune": _retune,
    "sweep": _sweep,
    "follow": _follow,
    "rebuild": _rebuild,
    "chain": _chain,
    "move": _move,
    "cancel chain": _cancel_chain,
    "undo chain": _undo_chain,
    "deliver": _deliver,
    "take in": _take_in,
    "clean": _clean,
    "erase": _erase,
}
"""An order ``{"task": name, "of": what}`` does one of these."""
