"""What is there beside previews: everything that a preview must leave as it was."""

from psycopg import Connection
from psycopg.rows import DictRow

from tests.dump import dump_ledger


def dump_but_previews(connection: Connection[DictRow]) -> dict[str, list[str]]:
    """Give every row of the ledger, but for the events of previews, their bodies, and the sequence of positions."""
    made = connection.execute(
        "SELECT originator_id::text AS id FROM action_ledger.stored_events WHERE topic LIKE 'preview.%'"
    ).fetchall()
    starts = tuple(f"({row['id']}," for row in made)
    dump = dump_ledger(connection)
    del dump["stored_events_notification_id_seq"]
    for table in ("stored_events", "request_bodies"):
        dump[table] = [row for row in dump[table] if not row.startswith(starts)]
    return dump


def made(connection: Connection[DictRow]) -> list[DictRow]:
    """Give what was recorded of each preview, oldest first."""
    return [
        {"id": row["originator_id"], **row["body"]}
        for row in connection.execute(
            "SELECT originator_id, convert_from(state, 'UTF8')::jsonb AS body"
            " FROM action_ledger.stored_events WHERE topic = 'preview.made' ORDER BY notification_id"
        )
    ]
