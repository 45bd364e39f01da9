"""How an event of an older version becomes one of the next: its stored fields, before they are validated."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

Fields = dict[str, Any]
Upcaster = Callable[[Fields], Fields]


def _requested_2(fields: Fields) -> Fields:
    """Executions went on after failures, at full pace, and none was a retry."""
    return {
        **fields,
        "on_failure": "continue",
        "max_failures": None,
        "max_failure_ratio": None,
        "rate": None,
        "concurrency": None,
        "retry_of": None,
    }


def _batch_planned_2(fields: Fields) -> Fields:
    """Batches were not split."""
    return {**fields, "split_from": None}


def _batch_cancelled_2(fields: Fields) -> Fields:
    """Batches were taken off before anything of them was done."""
    nothing = {"applied": 0, "failed": 0, "skipped": 0}
    return {**fields, "tally": nothing, "outcomes_digest": None, "effects_digest": None}


def _no_effects(fields: Fields) -> Fields:
    """Everything was done within the database."""
    return {**fields, "effects_digest": None}


UPCASTERS: Mapping[tuple[str, int], Upcaster] = MappingProxyType(
    {
        ("execution.requested", 1): _requested_2,
        ("batch.planned", 1): _batch_planned_2,
        ("batch.cancelled", 1): _batch_cancelled_2,
        ("batch.completed", 1): _no_effects,
        ("batch.compensated", 1): _no_effects,
    }
)
"""From (topic, version) to the function that gives the fields of the next version."""
