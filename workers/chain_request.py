"""Takes a new chain in: checks every step of it now, so that none is found wrong only after others, and records it."""

from action_ledger.domain.actions import Actions, Reversibility
from action_ledger.domain.chain import Chain, OnStepFailure, PlannedStep, Requested
from action_ledger.domain.chain_commands import ChainStep, RequestChain
from action_ledger.domain.errors import InvalidChain, StepNotCompensable
from action_ledger.domain.selection import Keys
from action_ledger.projections.store import Transaction

from .actors import metadata_of
from .bodies import save_body
from .compile import Compiled, check_request, compile_request
from .cutter import Cutter
from .open_chain import ChainBody
from .planner import cut_selection
from .request_body import body_of
from .steps import reached
from .table import reference_of


class ChainRequest:
    """One command, on its way into the ledger."""

    def __init__(self, transaction: Transaction, actions: Actions, command: RequestChain) -> None:
        self._transaction = transaction
        self._actions = actions
        self._command = command

    def accept(self) -> None:
        """Record it, in the caller's transaction. What is wrong in any way leaves nothing; nothing is begun yet."""
        command = self._command
        if not command.allow_irreversible:
            self._refuse_irreversible()
        steps = tuple(self._planned(step) for step in command.steps)
        body = ChainBody(
            fingerprint=command.fingerprint, reason=command.reason, steps=command.steps
        )
        digest = save_body(self._transaction, command.command_id, body)
        requested = Chain.new(command.command_id).trigger(
            Requested,
            metadata_of(self._transaction, command),
            steps=steps,
            body_digest=digest,
            notify=command.notify,
        )
        reached("chain.before_append")
        self._transaction.append(requested)
        reached("chain.before_commit")

    def _planned(self, step: ChainStep) -> PlannedStep:
        """Check a step as if it were asked for now."""
        request = body_of(step.execution)
        compiled = compile_request(self._transaction, self._actions, request)
        check_request(self._transaction, self._actions, request, compiled.change.table)
        self._check_keys(step, compiled)
        return PlannedStep(
            action=step.execution.action,
            table=reference_of(compiled.change.table),
            on_failure=step.on_failure,
        )

    def _check_keys(self, step: ChainStep, compiled: Compiled) -> None:
        """Let the server read keys that were given, and forget them: they are cut when the step's turn comes."""
        selection, command = step.execution.selection, step.execution
        if not isinstance(selection, Keys):
            return
        if selection.keys is None:
            detail = "the keys of a step are given as a list of at most 10,000"
            raise InvalidChain(detail=detail)
        with self._transaction.connection.transaction(force_rollback=True):
            cutter = Cutter(
                self._transaction,
                compiled.change.table,
                self._command.command_id,
                command.batch_size,
            )
            cut_selection(cutter, compiled.select, selection, None)

    def _refuse_irreversible(self) -> None:
        """Raise StepNotCompensable where a failure would want taken back what cannot be."""
        stuck: int | None = None
        for number, step in enumerate(self._command.steps, 1):
            if stuck is not None and step.on_failure is OnStepFailure.COMPENSATE:
                raise StepNotCompensable(step=stuck, later=number)
            if stuck is None and self._is_irreversible(step):
                stuck = number

    def _is_irreversible(self, step: ChainStep) -> bool:
        action = self._actions.get(step.execution.action)
        gone = action.reversibility is Reversibility.IRREVERSIBLE
        return gone or step.execution.undo_seconds is None
