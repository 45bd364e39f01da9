"""The contact data of actors: its erasure, and whether what is left of it is what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError
from uuid_utils.compat import uuid7

from action_ledger.domain.erasure import EraseActor
from action_ledger.projections.sql_blocks import read_blocks

from .checks import check_actor, invalid

if TYPE_CHECKING:
    from action_ledger.domain.actor import Asker
    from action_ledger.projections.store import Store

    from .ledger import Ledger

SQL = read_blocks("action_ledger.ops", "actors.sql")


class ContactsVerified(BaseModel):
    """How much contact data the events speak of, and what became of it."""

    model_config = ConfigDict(frozen=True)

    kept: int = 0
    """It is there, and is what it was."""
    erased: int = 0
    """It is gone, and that it was erased is recorded."""
    broken: int = 0
    """It is another, or gone without an erasure."""
    broken_at: tuple[int, ...] = ()
    """The positions of the first events that speak of what is broken, 20 at most."""


def erase_actor(
    ledger: Ledger, subject: str, *, issuer: str | None, by: Asker | None, reason: str | None
) -> int:
    """Delete the contact data of an actor, and give of how many commands it was."""
    check_actor(by)
    fields = {"actor": by, "reason": reason, "whose": subject, "issuer": issuer}
    try:
        command = EraseActor.model_validate({"command_id": uuid7(), **fields})
    except ValidationError as error:
        raise invalid("erase_actor", error) from error
    id_ = ledger.handle(command, now=True)
    with ledger.store.transaction() as transaction:
        row = transaction.execute(SQL["contacts"], {"id": id_}).fetchone()
    return 0 if row is None else int(row["contacts"])


def verify_contacts(store: Store) -> ContactsVerified:
    """Compare what is kept with the digests in the events. The audit has to be caught up."""
    with store.transaction() as transaction:
        rows = transaction.execute(SQL["verify"]).fetchall()
    counts = {row["state"]: row["contacts"] for row in rows}
    broken_at = next((row["positions"] for row in rows if row["state"] == "broken"), ())
    return ContactsVerified(**counts, broken_at=tuple(broken_at))
