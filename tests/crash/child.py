"""A worker in a process of its own, which strikes itself at the n-th arrival at a step of its work.

An order is ``{"url": ..., "job": ..., "step": "batch.applied", "at": 2, "signal": "SIGKILL"}``. Without a step
it works until the job has ended; without a job, on whatever is open, until it is killed. With ``queueing`` its claims
wait for the unit that another has, instead of looking past it.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from psycopg import sql

from action_ledger.domain.columns import col
from action_ledger.ops import Ledger, open_ledger
from action_ledger.ops.settings import Settings
from action_ledger.workers import claim
from action_ledger.workers.steps import strike
from tests.crash.announcement import announce
from tests.crash.child_tasks import TASKS
from tests.mailer import EFFECTS
from tests.shop import ACTIONS

SKIPPING = "FOR UPDATE SKIP LOCKED"


def striking(step: str, at: int, act: Callable[[], None]) -> Callable[[str], None]:
    """Make a hook that acts at the n-th arrival at a step."""
    arrivals: Counter[str] = Counter()

    def hook(reached: str) -> None:
        arrivals[reached] += 1
        if reached == step and arrivals[step] == at:
            act()

    return hook


def main(order: dict[str, Any]) -> None:
    """Do what the order says."""
    if order.get("step"):
        kind = signal.Signals[order.get("signal", "SIGKILL")]
        strike.set(striking(order["step"], order.get("at", 1), lambda: os.kill(os.getpid(), kind)))
    if order.get("queueing"):
        queueing = claim.SQL["claim"].as_string().replace(SKIPPING, "FOR UPDATE")
        assert SKIPPING not in queueing
        claim.SQL = {**claim.SQL, "claim": sql.SQL(queueing)}  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    settings = Settings(lease_seconds=order.get("lease_seconds", 10))
    with open_ledger(
        order["url"], settings=settings, actions=(*EFFECTS, *ACTIONS, announce)
    ) as ledger:
        if order.get("task"):
            TASKS[order["task"]](ledger, order.get("of"))
        elif order.get("run"):
            run(ledger, order["run"])
        elif order.get("fire"):
            fire(ledger)
        elif order.get("schedule"):
            schedule(ledger)
        elif order.get("steer"):
            getattr(ledger.schedule(order["steer"]), order["how"])(by="child")
        elif order.get("job"):
            ledger.worker().finish(order["job"])
        else:
            ledger.work(lambda: False)


def run(ledger: Ledger, below: int) -> None:
    """Add 1 to the score of some records, in the foreground."""
    ledger.on("public.places").where(col("id") <= below).update(score=col("score") + 1).by(
        "child"
    ).run()


def fire(ledger: Ledger) -> None:
    """Fire whatever is due, until nothing is that nobody is at."""
    scheduler = ledger.scheduler()
    while scheduler.step():
        pass


def schedule(ledger: Ledger) -> None:
    """Schedule the addition of 1 for each full hour, with the records of now."""
    added = ledger.on("public.places").all().update(score=col("score") + 1).by("child")
    added.schedule(cron="0 * * * *", timezone="UTC", selection="frozen")
