"""All commands, told apart by their type: what the ledger takes in, and reads from JSON."""

from typing import Annotated

from pydantic import Field

from .chain_commands import AnyChainSteering, RequestChain
from .commands import (
    AnyScheduleSteering,
    AnySteering,
    CreateSchedule,
    RequestExecution,
    RequestUndo,
)
from .erasure import EraseActor

AnyCommand = Annotated[
    RequestExecution
    | RequestUndo
    | AnySteering
    | CreateSchedule
    | AnyScheduleSteering
    | RequestChain
    | AnyChainSteering
    | EraseActor,
    Field(discriminator="type"),
]
