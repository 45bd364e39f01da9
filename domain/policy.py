"""The policy of a host: what may be asked for, by whom, and how much of it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from .actor import Actor
from .chain_commands import RequestChain, UndoChain
from .commands import Command, CreateSchedule, RequestExecution, RequestUndo
from .context import AllowedContexts
from .errors import NotAuthorized
from .limits import AllLimits

log = logging.getLogger(__name__)


class Phase(StrEnum):
    """What a host is asked about."""

    REQUEST = "request"
    """An execution, or a schedule or a chain of executions.

    Again for each run of a schedule and each step of a chain, in the name of who asked for it.
    """
    BATCH = "batch"
    """The next batch of an execution that was granted before, or the planning of it."""
    UNDO = "undo"
    """An undo or a redo, or the undo of a chain, once for all of it."""
    STEER = "steer"
    """A pause, a resumption, a cancel, another pace or a broken lock of an execution; the steering of a schedule or a chain;
    the erasure of an actor's contact data."""


Authorize = Callable[[Actor, Command, Phase], bool]
"""Says whether an actor may do what a command says. Anything but True is a no, and an exception is one too."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the host decided. Without anything, everybody may do everything, and nobody as somebody else."""

    limits: AllLimits = field(default_factory=AllLimits)
    authorize: Authorize | None = None
    contexts: AllowedContexts = field(default_factory=AllowedContexts)

    def require(self, command: Command, phase: Phase | None = None) -> None:
        """Ask the host's function. Raises NotAuthorized."""
        if self.authorize is None:
            return
        phase = phase or _phase_of(command)
        failed: BaseException | None = None
        try:
            granted = self.authorize(command.actor, command, phase) is True
        except (Exception, SystemExit) as error:
            log.exception("the function that authorizes failed, which is a no")
            granted, failed = False, error
        if not granted:
            raise NotAuthorized(
                actor=command.actor.subject, command=_told(command), phase=phase
            ) from failed

    def require_context(self, command: Command) -> None:
        """Raise ContextNotAllowed where a command names what is not on the list."""
        asked = command.execution if isinstance(command, CreateSchedule) else command
        if isinstance(asked, RequestExecution | RequestChain):
            self.contexts.require(asked.context)


EVERYTHING_GOES = Policy()


def _phase_of(command: Command) -> Phase:
    match command:
        case RequestExecution() | CreateSchedule() | RequestChain():
            return Phase.REQUEST
        case RequestUndo() | UndoChain():
            return Phase.UNDO
        case _:
            return Phase.STEER


def _told(command: Command) -> str:
    """Name a command for people: its type, and the action and the table where it has them."""
    name = str(getattr(command, "type", type(command).__name__)).replace("_", " ")
    asked = command.execution if isinstance(command, CreateSchedule) else command
    if isinstance(asked, RequestExecution):
        return f"{name} ({asked.action} of {asked.resource.table})"
    return name
