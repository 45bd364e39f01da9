"""Errors of chains and hooks: what cannot be, and steps that a chain's state does not allow. See ``errors``."""

# as in errors.py

from uuid import UUID

from .error_invalid import InvalidCommand
from .error_root import Refused


class InvalidChain(
    InvalidCommand,
    code="invalid_chain",
    hint="A chain is made by .then(...) of requests, or of a file with their commands.",
):
    """The chain cannot be used: {detail}."""

    detail: str


class StepNotCompensable(
    InvalidCommand,
    code="step_not_compensable",
    hint='Put it last, let the later ones "stop" or "continue" on failure, or allow it.',
):
    """Step {step} cannot be undone, and a failure of step {later} would have to take it back."""

    step: int
    later: int


class ChainNotFound(
    Refused,
    code="chain_not_found",
    hint="List them with `action-ledger chains list`.",
):
    """There is no chain {chain_id}."""

    chain_id: UUID | str


class ChainClosed(
    Refused,
    code="chain_closed",
    hint="Look at it with `action-ledger chains show`.",
):
    """Chain {chain_id} is {status}, and this cannot be done now: {wanted}."""

    chain_id: UUID | str
    status: str
    wanted: str


class UnknownHook(
    InvalidCommand,
    code="unknown_hook",
    hint="Give it to open_ledger(hooks=...), or wait for a process that knows it.",
):
    """This process knows no hook {hook}."""

    hook: str


class InvalidHook(
    InvalidCommand,
    code="invalid_hook",
    hint="A hook is a function with a name of letters, digits, dots, - and _, given once.",
):
    """The hook {hook} cannot be used: {detail}."""

    hook: str
    detail: str
