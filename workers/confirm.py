"""Confirms an execution by the token of a preview: the same request, the same actor, the same records, once."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from psycopg import sql

from action_ledger.domain.actions import Action, Actions
from action_ledger.domain.commands import RequestExecution
from action_ledger.domain.confirmation import ConfirmationPolicy
from action_ledger.domain.errors import (
    ConfirmationInvalid,
    ConfirmationRequired,
    SelectionDrifted,
    shown,
)
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.preview import (
    PreviewStatus,
    PreviewStream,
    Used,
    plan_hash,
    read_token,
    request_digest,
)
from action_ledger.projections.sql_blocks import read_blocks
from action_ledger.projections.store import Transaction

from .change import Change
from .cutter import Cut
from .images import listed, numbered, unnested
from .table import Table, reference_of

SQL = read_blocks("action_ledger.workers", "preview.sql")
_TEXT = sql.SQL("array_agg({} ORDER BY place)::text")


class Confirming:
    """One command, and the preview that confirms it, in the transaction that takes the command in."""

    def __init__(
        self, transaction: Transaction, policy: ConfirmationPolicy, command: RequestExecution
    ) -> None:
        self._transaction = transaction
        self._policy = policy
        self._command = command
        self._made: dict[str, Any] | None = None
        self.preview_id: UUID | None = None

    def begin(self, action: Action, actions: Actions) -> bool:
        """Look at the token, and say whether there is one. No other transaction uses it until this one has ended.

        Raises:
            ConfirmationInvalid: It is none that this actor can use now.
            ConfirmationRequired: There is none, and the action alone wants one.
        """
        token = self._command.confirmation
        if token is None:
            self._require(action, actions)
            return False
        found = read_token(token)
        row = None if found is None else self._take(found[0])
        if found is None or row is None or row["made"]["plan_hash"][:16] != found[1]:
            raise self._invalid("unknown")
        asked, made = self._command.actor, row["made"]["metadata"]
        if (asked.issuer, asked.subject) != (made.get("issuer"), made["actor"]):
            raise self._invalid("other_actor")
        if row["used"]:
            raise self._invalid("used")
        if row["expired"]:
            raise self._invalid("expired")
        self.preview_id, self._made = found[0], row["made"]
        return True

    @property
    def plans_now(self) -> bool:
        """Whether the records must be known before the command can be taken in."""
        retries = self._command.selection.kind == "unfinished"
        return self._made is not None or (retries and self._policy.above is not None)

    def check_plan(self, command: RequestExecution, table: Table, cuts: Iterable[Cut]) -> None:
        """Compare what was planned with the preview, or its size with the policy; ``command`` as it will be done.

        Raises:
            ConfirmationInvalid: The preview was of another request.
            SelectionDrifted: It found other records.
            ConfirmationRequired: These are too many to go without one.
        """
        found = sum(cut.records for cut in cuts)
        if self._made is None:
            above = self._policy.above
            if above is not None and found > above:
                raise self._too_many(above)
            return
        request = request_digest(command, reference_of(table))
        if request != self._made["request_digest"]:
            raise self._invalid("other_request")
        digest = keys_digest(self._transaction, table, command.command_id)
        if plan_hash(request, digest) == self._made["plan_hash"]:
            return
        previewed = self._made["records"]
        exactly = command.selection.kind == "keys" or not self._policy.drift
        if exactly or self._policy.drifted(previewed=previewed, found=found):
            raise SelectionDrifted(previewed=previewed, found=found)

    def check_size(self, select: Change) -> None:
        """Do so for what is planned later. Raises ConfirmationRequired."""
        above = self._policy.above
        if above is None:
            return
        more = self._transaction.compose(
            SQL["more_than"], table=select.table.identifier, match=select.match
        )
        values = {**select.parameters, "above": above}
        row = self._transaction.cursor.execute(more, values).fetchone()
        if row is not None and row["more"]:
            raise self._too_many(above)

    def used(self, metadata: Metadata) -> list[Event]:
        """Give the event that uses the preview up, if there is one, to be appended with the request."""
        if self.preview_id is None:
            return []
        preview = PreviewStream(self.preview_id, 1, PreviewStatus.MADE)
        return [preview.trigger(Used, metadata, execution_id=self._command.command_id)]

    def _require(self, action: Action, actions: Actions) -> None:
        if self._policy.wants(destructive=action.destructive):
            raise self._required("it is one that has to be previewed")
        if self._policy.first and action.destructive:
            destructive = [each.name for each in actions if each.destructive]
            actor = self._command.actor
            values = {"actor": actor.subject, "issuer": actor.issuer, "actions": destructive}
            row = self._transaction.execute(SQL["is_first"], values).fetchone()
            if row is not None and row["first"]:
                raise self._required("it is this actor's first that destroys")

    def _take(self, preview_id: UUID) -> dict[str, Any] | None:
        values = {"id": preview_id, "ttl": self._policy.ttl_seconds}
        self._transaction.execute(SQL["take"], values)
        return self._transaction.execute(SQL["preview"], values).fetchone()

    def _too_many(self, above: int) -> ConfirmationRequired:
        return self._required(f"it is of more than {above:,} records")

    def _required(self, reason: str) -> ConfirmationRequired:
        return ConfirmationRequired(action=self._command.action, reason=reason, by_token=True)

    def _invalid(self, reason: str) -> ConfirmationInvalid:
        return ConfirmationInvalid(token=shown(self._command.confirmation), reason=reason)


def keys_digest(transaction: Transaction, table: Table, execution_id: UUID) -> str:
    """Give the digest over all keys of a plan, however they were cut."""
    names = numbered("k", len(table.key))
    statement = transaction.compose(
        SQL["keys_digest"],
        key_names=listed(names),
        arrays=listed(unnested("cut.keys", table.key)),
        texts=listed(_TEXT.format(name) for name in names),
    )
    row = transaction.cursor.execute(statement, {"execution_id": execution_id}).fetchone()
    if row is None:
        message = "an aggregate gives one row"
        raise AssertionError(message)
    return str(row["digest"])
