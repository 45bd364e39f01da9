"""Effects for tests: letters, each call of which is a line in a file that outlives whoever wrote it.

A line is ``what key idempotency_key attempt pid``, written with one call of the system, before the call's work and
after it.
"""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from action_ledger.domain.actions import Parameters, Reversibility
from action_ledger.domain.effects import Effect, EffectContext, Record


class Letter(Parameters):
    """What is sent, and what goes wrong with it."""

    log: str
    seconds: float = 0
    """How long a call takes."""
    slow: int = 0
    """The id of a record whose call takes ten seconds."""
    bad: int = 0
    """Every so many records the handler raises."""
    refused: int = 0
    """Every so many it returns False."""
    lingering: bool = False
    """Whether an async handler holds the whole loop up while it waits."""


def send(record: Record, parameters: Letter, context: EffectContext) -> Any:
    """Send a letter."""
    _write(parameters, "begun", context)
    id_ = record["id"]
    time.sleep(10 if id_ == parameters.slow else parameters.seconds)
    if parameters.bad and id_ % parameters.bad == 0:
        message = f"no such address: {record['name']}"
        raise ValueError(message)
    _write(parameters, "sent", context)
    if parameters.refused and id_ % parameters.refused == 0:
        return False
    return {"letter": id_, "to": record["name"]}


async def send_async(record: Record, parameters: Letter, context: EffectContext) -> Any:
    """Send one as others are sent."""
    _write(parameters, "begun", context)
    if parameters.lingering:
        time.sleep(parameters.seconds)  # noqa: ASYNC251 - on purpose
    await asyncio.sleep(parameters.seconds)
    _write(parameters, "sent", context)
    return record["id"]


def call_back(record: Record, parameters: Letter, result: Any, context: EffectContext) -> Any:
    """Take a letter back."""
    _write(parameters, "begun", context)
    time.sleep(parameters.seconds)
    if parameters.bad and record["id"] % parameters.bad == 1:
        raise ValueError("it was read already")
    _write(parameters, "returned", context)
    return {"returned": result["letter"], "name": record.get("name")}


def _write(parameters: Letter, what: str, context: EffectContext) -> None:
    line = f"{what} {context.key[0]} {context.idempotency_key} {context.attempt} {os.getpid()}\n"
    file = os.open(parameters.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def lines(log: Path) -> list[list[str]]:
    """Read the log."""
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def calls(log: Path, what: str = "begun") -> Counter[str]:
    """Count the calls by idempotency key."""
    return Counter(line[2] for line in lines(log) if line[0] == what)


def at_once(log: Path) -> int:
    """Say how many calls were under way at a time, at most."""
    under_way = most = 0
    for what, *_ in lines(log):
        under_way += 1 if what == "begun" else -1
        most = max(most, under_way)
    return most


def sent_to(log: Path, what: str = "sent") -> Counter[UUID]:
    """Count what was done by idempotency key."""
    return Counter(UUID(line[2]) for line in lines(log) if line[0] == what)


def letter(name: str, **options: Any) -> Effect:
    """Make an effect that sends letters."""
    return Effect(
        **{
            "name": name,
            "parameters": Letter,
            "label": "Letter",
            "description": "Send a letter to each.",
            "destructive": False,
            "handler": send,
            **options,
        }
    )


EFFECTS = (
    letter("letter", compensate=call_back, reversibility=Reversibility.COMPENSABLE),
    letter("postcard"),
    letter("pair", concurrency=2),
    letter("mailing", handler=send_async, concurrency=8, timeout=5),
    letter("express", timeout=0.3, columns=("name",)),
)
