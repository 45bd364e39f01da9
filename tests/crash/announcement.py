"""An effect that is told of its completion: each call for that is a row of the table ``calls``."""

import psycopg

from action_ledger.domain import EffectContext, Notice, Parameters, effect
from action_ledger.domain.effects import Record


class Announcement(Parameters):
    """Where the table is."""

    url: str


def noted(notice: Notice, parameters: Announcement) -> None:
    """Note a call."""
    with psycopg.connect(parameters.url) as connection:
        connection.execute(
            "INSERT INTO calls VALUES (%s, %s)", [notice.delivery_id, notice.attempt]
        )


@effect(after_complete=noted)
def announce(record: Record, _parameters: Announcement, _context: EffectContext) -> int:
    """Announce a place."""
    return int(record["id"])
