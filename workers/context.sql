-- name: role
-- What must be known of the role that was taken on.
SELECT rolcanlogin AS can_login,
    has_schema_privilege(%(schema)s, 'USAGE')
        AND (SELECT bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT'))
            FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(%(schema)s))
                AND c.relname IN ('key_sets', 'change_sets', 'record_outcomes', 'request_bodies')) AS may_work
FROM pg_roles WHERE rolname = current_user

-- name: policies
-- Whether the server applies a table's policies to whom it takes this transaction for.
SELECT row_security_active(%(table)s::oid) AS hold, current_user::text AS role
