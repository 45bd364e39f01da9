-- Actors: from where they asked, apart from the events, and in the views who else they are. The end of rejected commands.

-- Contact data of the actor of one command. The digest, which the command's events carry, is over salt and body; a row
-- goes when the actor's contact data is erased.
CREATE TABLE {schema}.actor_contacts (
    digest text PRIMARY KEY,
    subject text NOT NULL,
    issuer text,
    salt bytea NOT NULL,
    body jsonb NOT NULL
);
CREATE INDEX actor_contacts_subject ON {schema}.actor_contacts (subject, issuer);

-- Commands that were rejected are forgotten after a while.
CREATE INDEX command_inbox_rejected ON {schema}.command_inbox (rejected_at) WHERE rejected_at IS NOT NULL;

-- In each generation that there is.
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = {schema_text}::regnamespace AND c.relkind = 'r'
            AND c.relname ~ '^view_(executions|undos|audit)_g[0-9]+$'
    LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s ADD COLUMN issuer text, ADD COLUMN on_behalf_of text,'
            ' ADD COLUMN contact text', relation);
    END LOOP;
END
$$;
