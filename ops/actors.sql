-- name: verify
-- Every piece of contact data that an event speaks of: kept as it was, erased by an erasure that was recorded
-- afterwards, or neither. With the events that begin those, a few at most.
WITH said AS (
    SELECT contact, actor, issuer, min(position) AS position FROM {audit} WHERE contact IS NOT NULL
    GROUP BY contact, actor, issuer
),
erased AS MATERIALIZED (
    SELECT details ->> 'whose' AS actor, details ->> 'issuer' AS issuer, max(position) AS position FROM {audit}
    WHERE topic = 'erasure.done' GROUP BY 1, 2
)
SELECT f.state, count(*) AS contacts, (array_agg(f.position ORDER BY f.position))[:20] AS positions
FROM (
    SELECT s.position, CASE
        WHEN k.digest IS NULL AND e.position >= s.position THEN 'erased'
        WHEN k.subject = s.actor AND k.issuer IS NOT DISTINCT FROM s.issuer
            AND {schema}.digest(k.salt, ARRAY[k.body::text]) = s.contact THEN 'kept'
        ELSE 'broken' END AS state
    FROM said s
    LEFT JOIN {schema}.actor_contacts k ON k.digest = s.contact
    LEFT JOIN erased e ON e.actor = s.actor AND e.issuer IS NOT DISTINCT FROM s.issuer
) f GROUP BY f.state

-- name: contacts
SELECT convert_from(state, 'UTF8')::jsonb ->> 'contacts' AS contacts FROM {schema}.stored_events
WHERE originator_id = %(id)s AND topic = 'erasure.done'
