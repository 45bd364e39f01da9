"""The actions of a host, for tests: of each kind, as functions and as classes."""

import time
from typing import Any

from pydantic import BaseModel

from action_ledger.domain import Changes, Parameters, col, record_action, set_action
from action_ledger.ops import Ledger, open_ledger


class Promotion(Parameters):
    """How a place is promoted."""

    bonus: int
    country: str | None = None


@set_action
def promote(parameters: Promotion) -> Any:
    """Raise the score of places, and note it."""
    values = {"score": col("score") + parameters.bonus, "note": "promoted"}
    if parameters.country is None:
        return values
    return Changes(values, where=col("country") == parameters.country)


class Naming(Parameters):
    """How a place is renamed, and what goes wrong with it."""

    suffix: str = "!"
    bad: int = 0
    """Every so many ids it raises."""
    refused: int = 0
    """Every so many it returns False."""
    same: int = 0
    """Every so many it changes nothing."""
    slow: int = 0
    """The id of a record that takes two seconds."""
    seconds: float = 0
    """How long each other one takes."""


@record_action(columns=("name", "score"), timeout=0.5, queue="names", batch_size=40)
def rename(record: dict[str, Any], parameters: Naming) -> Any:
    """Rename places, one by one."""
    id_ = record["id"]
    if parameters.bad and id_ % parameters.bad == 0:
        message = f"no name for {record['name']}"
        raise ValueError(message)
    if parameters.refused and id_ % parameters.refused == 0:
        return False
    if parameters.same and id_ % parameters.same == 0:
        return None
    time.sleep(2 if id_ == parameters.slow else parameters.seconds)
    return {"name": record["name"] + parameters.suffix, "score": record["score"] + 1}


class Place(BaseModel):
    """A place as the host's program knows it."""

    id: int
    name: str
    score: int


class Double:
    """Double the score of places that have one, as a class."""

    model = Place
    label = "Double the score"
    destructive = True

    def handler(self, record: Place, _parameters: Parameters) -> Any:
        """Double it."""
        return self._doubled(record)

    @staticmethod
    def _doubled(record: Place) -> dict[str, Any]:
        return {"score": record.score * 2} if record.score else {}


double = record_action(Double)

ACTIONS = (promote, rename, double)


def open_shop() -> Ledger:
    """Open the ledger of the environment, with these actions."""
    return open_ledger(actions=ACTIONS)
