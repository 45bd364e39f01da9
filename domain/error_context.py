"""Errors of contexts: whose rights an action has is not said, not allowed, or not to be had. See ``errors``."""

from uuid import UUID

from typing_extensions import override

from .error_invalid import InvalidCommand
from .error_root import Refused


class InvalidContext(
    InvalidCommand,
    code="invalid_context",
    hint="A context has settings such as app.tenant_id, with their values as text, and at most one role.",
):
    """The context cannot be used: {detail}."""

    detail: str


class ContextRequired(Refused, code="context_required"):
    """Table {table} has row-level security, and {reason}."""

    table: str
    reason: str
    bypassed: str | None = None
    """The database's role for which the policies do not hold; None where no context was declared."""

    @property
    @override
    def advice(self) -> str:
        """Say how the policies come to hold."""
        if self.bypassed is None:
            return "Say whose rights count: .context(), or --context and --role."
        return (
            "Name a role for which they do, or let the ledger log in as one that is neither superuser nor BYPASSRLS;"
            " for the table's owner, ALTER TABLE ... FORCE ROW LEVEL SECURITY."
        )


class ContextNotAllowed(Refused, code="context_not_allowed"):
    """The {kind} {name} is not among those that a command may name."""

    kind: str
    """setting or role."""
    name: str

    @property
    @override
    def advice(self) -> str:
        """Name the setting that allows it."""
        return f"ACTION_LEDGER_CONTEXT_{self.kind.upper()}S lists what is allowed, as a JSON array."


class ContextDiffers(
    Refused,
    code="context_differs",
    hint=(
        "Give the same settings and the same role: .context(), or --context and --role."
        " `action-ledger show` of the execution, or of a step's, names them."
    ),
):
    """What {subject} did can be taken back, or gone on with, in the context in which it was done only."""

    subject: UUID
    """The execution or the chain."""


class RoleUnusable(
    Refused,
    code="role_unusable",
    hint="The guide to tenants says how such a role is made.",
):
    """The role {role} cannot be taken on: {reason}."""

    role: str
    reason: str
