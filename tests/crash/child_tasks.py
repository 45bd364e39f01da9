"""What a child does other than to work: it asks for an undo, steers, sweeps, follows or rebuilds."""

from collections.abc import Callable
from typing import Any

from action_ledger.ops import Ledger
from action_ledger.workers.sweep import sweep


def _undo(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).undo(by="child").submit()


def _cancel(ledger: Ledger, execution: Any) -> None:
    ledger.execution(execution).cancel(by="child")


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


def _clean(ledger: Ledger, _: Any) -> None:
    ledger.clean_exports(days=0)


TASKS: dict[str, Callable[[Ledger, Any], None]] = {
    "undo": _undo,
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "retune": _retune,
    "sweep": _sweep,
    "follow": _follow,
    "rebuild": _rebuild,
    "clean": _clean,
}
"""An order ``{"task": name, "of": what}`` does one of these."""
