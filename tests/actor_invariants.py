"""What must be true of the contact data of actors: each is what its event fixed, or was erased after it."""

from psycopg import Connection
from psycopg.rows import DictRow

from tests.accounts import rows_of


def check_contacts(connection: Connection[DictRow]) -> None:
    """None is altered, gone without an erasure, or there in spite of one."""
    rows = rows_of(
        connection,
        "WITH plain AS MATERIALIZED (SELECT notification_id, topic, convert_from(state, 'UTF8') AS state"
        "  FROM {schema}.stored_events WHERE convert_from(state, 'UTF8') LIKE '%%\"contact\":%%' OR topic = 'erasure.done'),"
        " said AS (SELECT notification_id AS at, topic, state::jsonb AS body FROM plain),"
        " spoken AS (SELECT at, body -> 'metadata' ->> 'contact' AS contact, body -> 'metadata' ->> 'actor' AS actor,"
        "  body -> 'metadata' ->> 'issuer' AS issuer FROM said WHERE body -> 'metadata' ? 'contact')"
        " SELECT s.at, k.digest IS NOT NULL AS there, k.digest = s.contact"
        "  AND {schema}.digest(k.salt, ARRAY[k.body::text]) = s.contact AND k.subject = s.actor"
        "  AND k.issuer IS NOT DISTINCT FROM s.issuer AS same, EXISTS (SELECT FROM said e WHERE e.topic = 'erasure.done'"
        "   AND e.at >= s.at AND e.body ->> 'whose' = s.actor"
        "   AND e.body ->> 'issuer' IS NOT DISTINCT FROM s.issuer) AS erased"
        " FROM spoken s LEFT JOIN {schema}.actor_contacts k ON k.digest = s.contact",
    )
    for row in rows:
        if row["erased"]:
            assert not row["there"], f"contact data in spite of its erasure: {row}"
        else:
            assert row["same"], f"contact data altered or gone: {row}"
