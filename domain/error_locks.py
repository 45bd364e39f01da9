"""Errors of record locks: records that somebody else has, and locks that nobody holds. See ``errors``."""

# as in errors.py

from uuid import UUID

from typing_extensions import override

from .error_root import Refused

NAMED = 3
"""Owners that a message names; the attributes have them all."""


class RecordsLocked(Refused, code="records_locked"):
    """Records of {table} are locked by others: {said}."""

    table: str
    owners: tuple[str, ...]
    """Ids of the executions and undos that hold some of them, or asked for them before; those with most come first."""
    records: tuple[int, ...]
    """How many each of them has."""
    sample: tuple[str, ...] = ()
    """Keys of some of them, which no message shows."""

    @property
    def said(self) -> str:
        """Name the owners, with what each has."""
        counted = list(zip(self.owners, self.records, strict=True))
        said = ", ".join(f"{count:,} by {owner}" for owner, count in counted[:NAMED])
        more = len(counted) - NAMED
        return said + (f", and others by {more:,} more" if more > 0 else "")

    @property
    @override
    def advice(self) -> str:
        """Name the ways on."""
        return (
            'Wait for their end, or say on_locked("wait") to wait in order or on_locked("skip") to leave them; '
            "`action-ledger locks` lists who holds what."
        )


class LockNotHeld(
    Refused,
    code="lock_not_held",
    hint="`action-ledger locks` lists who holds what; one that only waits is stopped with `action-ledger cancel`.",
):
    """Execution {execution_id} holds no lock that could be broken: it is {status}."""

    execution_id: UUID | str
    status: str
