-- name: save_contact
-- From where a command was asked; its digest, for the event, is its key.
WITH given AS MATERIALIZED (SELECT {schema}.salt() AS salt, %(body)s::jsonb AS body)
INSERT INTO {schema}.actor_contacts (digest, subject, issuer, salt, body)
SELECT {schema}.digest(salt, ARRAY[body::text]), %(subject)s, %(issuer)s, salt, body FROM given
RETURNING digest

-- name: contact
SELECT body FROM {schema}.actor_contacts WHERE digest = %(digest)s

-- name: alone
-- One erasure of an actor at a time: another would hold rows that this one deletes under the append lock, and wait for it.
SELECT pg_advisory_xact_lock(
    hashtextextended(%(schema)s || '.erasure:' || %(whose)s || coalesce(' ' || %(issuer)s::text, ''), 0))

-- name: erase
DELETE FROM {schema}.actor_contacts WHERE subject = %(whose)s AND issuer IS NOT DISTINCT FROM %(issuer)s

-- name: erase_waiting
-- Of commands that are not in the ledger yet.
UPDATE {schema}.command_inbox SET command = command #- '{{actor,address}}' #- '{{actor,agent}}'
WHERE command -> 'actor' ->> 'subject' = %(whose)s AND command -> 'actor' ->> 'issuer' IS NOT DISTINCT FROM %(issuer)s
