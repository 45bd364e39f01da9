"""Errors of previews and of runs that need the token of one. See ``errors``."""

# as in errors.py

from typing_extensions import override

from .error_root import Refused


class ConfirmationRequired(Refused, code="confirmation_required"):
    """The action {action} needs a confirmation: {reason}."""

    action: str
    reason: str
    by_token: bool = False
    """Whether the token of a preview is what it needs; otherwise a yes."""

    @property
    @override
    def advice(self) -> str:
        """Say how it is given."""
        if not self.by_token:
            return "Say --yes if it is meant."
        return (
            "Preview it, and give the preview's token: .confirm(token), or --confirm TOKEN. On the command line "
            "--yes does without, unless ACTION_LEDGER_CONFIRM asks for it."
        )


class ConfirmationInvalid(
    Refused,
    code="confirmation_invalid",
    hint="Preview the same again, as the same actor, and give that token.",
):
    """The token {token} does not confirm this: {detail}."""

    token: str
    reason: str
    """unknown, expired, used, other_actor or other_request."""

    @property
    def detail(self) -> str:
        """The reason in words."""
        return {
            "unknown": "there is no such preview",
            "expired": "the preview is too old",
            "used": "it has confirmed another execution already",
            "other_actor": "somebody else made the preview",
            "other_request": "it was another action, or other parameters, options, records or another table",
        }.get(self.reason, self.reason)


class SelectionDrifted(
    Refused,
    code="selection_drifted",
    hint="Nothing was written. Preview it again, and look at what has changed.",
):
    """The records are no longer those of the preview, which found {previewed}; now there are {found}."""

    previewed: int
    found: int


class PreviewBlocked(
    Refused,
    code="preview_blocked",
    hint="Try again later. ACTION_LEDGER_PREVIEW_LOCK_TIMEOUT_MS says how long a preview waits.",
):
    """The preview was given up, since others hold what it needs of table {table}: {detail}."""

    table: str
    detail: str
