"""The fluent face of chains: requests one after the other, and one command at the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from uuid_utils.compat import uuid7

from action_ledger.domain.chain import OnStepFailure
from action_ledger.domain.chain_commands import RequestChain
from action_ledger.domain.errors import InvalidChain

from .checks import check_actor, check_workers, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from action_ledger.domain.actor import Asker

    from .builder import Request
    from .chain_handles import ChainHandle


@dataclass(frozen=True, slots=True)
class ChainRequest:
    """Requests in their order, each with what becomes of the chain when it fails. Ends with ``run`` or ``submit``."""

    requests: tuple[tuple[Request, str | None], ...]
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    policy: str = OnStepFailure.COMPENSATE

    def then(self, request: Request, *, on_failure: str | None = None) -> ChainRequest:
        """Add a step. ``on_failure`` says what becomes of the chain when it fails, as :meth:`on_failure` does for all."""
        return replace(self, requests=(*self.requests, (request, on_failure)))

    def on_failure(self, policy: str) -> ChainRequest:
        """Choose what happens when a step fails that does not say so itself: compensate, stop or continue.

        With compensate, the default, what was done by it and by those before is taken back, the newest first.
        """
        return replace(self, policy=policy)

    def by(self, actor: Asker, *, reason: str | None = None) -> ChainRequest:
        """Say who asks, and why, for the chain and for all of its steps."""
        return self._with(actor=actor, reason=reason)

    def context(
        self, settings: Mapping[str, str] | None = None, *, role: str | None = None
    ) -> ChainRequest:
        """Say whose rights all of its steps have: see :meth:`Request.context`."""
        whose = (
            (request.context(settings, role=role), policy) for request, policy in self.requests
        )
        return replace(self, requests=tuple(whose))

    def allow_irreversible(self) -> ChainRequest:
        """Take steps that cannot be undone although a later failure would want it; a compensation passes them over."""
        return self._with(allow_irreversible=True)

    def notify(
        self,
        *,
        progress: str | None = None,
        complete: str | None = None,
        failure: str | None = None,
    ) -> ChainRequest:
        """Name hooks that are told of the chain: of each step's end, of its completion, of any other end."""
        return self._with(notify={"progress": progress, "complete": complete, "failure": failure})

    def once(self, key: str) -> ChainRequest:
        """Make it harmless to send twice, by a key of yours: see :meth:`Request.once`. Steps have none of their own."""
        return self._with(once=key)

    def command(self) -> RequestChain:
        """Build the command that this chain stands for. Raises what is missing or wrong in it."""
        if len({id(request.target.ledger) for request, _ in self.requests}) > 1:
            raise InvalidChain(detail="its steps are requests to different ledgers")
        named = (request.options.get("actor") for request, _ in self.requests)
        actor: Any = self.options.get("actor") or next(filter(None, named), None)
        check_actor(actor)
        steps = [
            {
                "execution": (
                    request if request.options.get("actor") else request.by(actor)
                ).command(),
                "on_failure": self.policy if policy is None else policy,
            }
            for request, policy in self.requests
        ]
        try:
            return RequestChain.model_validate(
                {**self.options, "actor": actor, "command_id": uuid7(), "steps": steps}
            )
        except ValidationError as error:
            raise invalid("chain", error) from error

    def run(
        self, *, workers: int = 1, watch: Callable[[ChainHandle], None] | None = None
    ) -> ChainHandle:
        """Do it now, in this process. ``watch`` is called after each move and each batch, from this thread."""
        check_workers(workers)
        chain = self._sent(now=True)
        chain.finish(workers=workers, watch=watch)
        chain.ledger.hooks.deliver()
        return chain

    def submit(self) -> ChainHandle:
        """Leave it to the workers."""
        return self._sent(now=False)

    def _sent(self, *, now: bool) -> ChainHandle:
        ledger = self.requests[0][0].target.ledger
        return ledger.chain(ledger.handle(self.command(), now=now))

    def _with(self, **options: Any) -> ChainRequest:  # noqa: ANN401
        return replace(self, options={**self.options, **options})
