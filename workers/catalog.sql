-- name: named
-- The relation of a name. One without schema is looked for along the search path. Of two that differ in case, the
-- one that SQL would find comes first.
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS path (schema, place)
    ON path.schema = n.nspname
WHERE c.relname IN (%(folded_table)s::name, %(table)s::name)
  AND (n.nspname IN (%(folded_schema)s::name, %(schema)s::name)
       OR (%(schema)s::name IS NULL AND path.place IS NOT NULL))
ORDER BY n.nspname = %(folded_schema)s::name DESC, c.relname = %(folded_table)s::name DESC, path.place
LIMIT 1

-- name: named_exactly
-- The relation of a name that is known to the letter. Both are literals: a statement without parameters is planned once.
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {table}

-- name: find_table
-- Where it is, and of what kind: enough to lock it.
SELECT nspname::text AS schema, relname::text AS name, relkind::text AS kind, relpersistence = 't' AS temporary
FROM ({named}) AS named

-- name: read_table
-- All that an action must know of a table, in one row: none when there is no relation of that name.
-- Types are written so that they mean the same under any search path: those of users with their schema.
WITH RECURSIVE
named AS (
    {named}
),
-- The table and all of its partitions: the triggers and references of those count as well.
tree (oid) AS (
    SELECT named.oid FROM named
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid
),
attribute AS (
    SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attgenerated, a.attidentity, a.attnotnull
    FROM named
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = named.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped
),
-- Each column's type, and for a domain the type below it, down to one that is no domain.
layer (attnum, type, depth) AS (
    SELECT attribute.attnum, attribute.atttypid, 0 FROM attribute
    UNION ALL
    SELECT layer.attnum, t.typbasetype, layer.depth + 1
    FROM layer
    JOIN pg_catalog.pg_type AS t ON t.oid = layer.type AND t.typtype = 'd'
),
-- An array type is one that another type names as its array; that other one is its element.
described AS (
    SELECT
        layer.attnum,
        layer.depth,
        t.typtype,
        t.typdelim,
        t.oid IN ('pg_catalog.json'::regtype, 'pg_catalog.jsonb'::regtype) AS is_json,
        e.oid IS NOT NULL AS is_array,
        CASE
            WHEN n.nspname = 'pg_catalog' THEN pg_catalog.format_type(t.oid, -1)
            ELSE pg_catalog.format('%%I.%%I', n.nspname, coalesce(e.typname, t.typname))
        END AS type,
        n.nspname = 'pg_catalog' AS is_builtin,
        coalesce(e.oid, t.oid) AS element
    FROM layer
    JOIN pg_catalog.pg_type AS t ON t.oid = layer.type
    LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = coalesce(e.typnamespace, t.typnamespace)
),
typed AS (
    SELECT
        a.attnum,
        a.attname,
        a.attnotnull,
        a.attgenerated <> '' AS generated,
        a.attidentity = 'a' AS identity_always,
        own.typtype = 'd' AS is_domain,
        base.is_array,
        base.is_json,
        base.typtype = 'c' AS is_composite,
        base.typdelim,
        -- Only where values can be equal and not the same.
        (
            SELECT pg_catalog.format('%%I.%%I', n.nspname, c.collname)
            FROM pg_catalog.pg_collation AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.collnamespace
            WHERE c.oid = a.attcollation AND NOT c.collisdeterministic
        ) AS collation,
        base.type || CASE WHEN base.is_array AND NOT base.is_builtin THEN '[]' ELSE '' END AS plain_type,
        CASE
            WHEN own.is_builtin THEN pg_catalog.format_type(a.atttypid, a.atttypmod)
            -- What format_type adds to the bare name are the type's modifiers, as in geometry(Point,4326).
            ELSE own.type
                || pg_catalog.substr(
                    pg_catalog.format_type(own.element, a.atttypmod),
                    pg_catalog.length(pg_catalog.format_type(own.element, -1)) + 1
                )
                || CASE WHEN own.is_array THEN '[]' ELSE '' END
        END AS type
    FROM attribute AS a
    JOIN described AS own ON own.attnum = a.attnum AND own.depth = 0
    JOIN described AS base ON base.attnum = a.attnum AND base.typtype <> 'd'
),
-- What each generated column is computed from. A partition may compute it in another way than its parent.
computed AS (
    SELECT a.attname, pg_catalog.jsonb_agg(DISTINCT b.attname ORDER BY b.attname) AS base
    FROM tree
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = tree.oid AND a.attgenerated <> ''
    JOIN pg_catalog.pg_attrdef AS f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
    JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid
    JOIN pg_catalog.pg_attribute AS b ON b.attrelid = d.refobjid AND b.attnum = d.refobjsubid
    WHERE a.attnum <> b.attnum
    GROUP BY a.attname
)
SELECT
    named.oid::bigint AS oid,
    named.nspname::text AS schema,
    named.relname::text AS name,
    named.relkind::text AS kind,
    named.relpersistence = 't' AS temporary,
    named.relrowsecurity AS row_security,
    EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = named.oid) AS inherited,
    EXISTS (
        SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = named.oid AND r.ev_enabled <> 'D'
    ) AS rules,
    (
        SELECT pg_catalog.jsonb_agg(
            pg_catalog.jsonb_build_object(
                'name', typed.attname,
                'type', typed.type,
                'plain_type', typed.plain_type,
                'generated', typed.generated,
                'computed_from', computed.base,
                'identity_always', typed.identity_always,
                'not_null', typed.attnotnull,
                'is_array', typed.is_array,
                'is_json', typed.is_json,
                'is_composite', typed.is_composite,
                'is_domain', typed.is_domain,
                'collation', typed.collation,
                'delimiter', typed.typdelim
            )
            ORDER BY typed.attnum
        )
        FROM typed LEFT JOIN computed ON computed.attname = typed.attname
    ) AS columns,
    (
        SELECT pg_catalog.array_agg(attribute.attname::text ORDER BY part.place)
        FROM pg_catalog.pg_index AS i
        CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS part (attnum, place)
        JOIN attribute ON attribute.attnum = part.attnum
        WHERE i.indrelid = named.oid AND i.indisprimary AND part.place <= i.indnkeyatts
    ) AS key,
    -- BEFORE ROW triggers, and AFTER triggers, that fire in an ordinary session, as pg_trigger's bits.
    (
        SELECT coalesce(pg_catalog.bit_or(t.tgtype::integer), 0)
        FROM tree
        JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = tree.oid
        WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype::integer & 3 = 3
    ) AS triggers,
    (
        SELECT coalesce(pg_catalog.bit_or(t.tgtype::integer), 0)
        FROM tree
        JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = tree.oid
        WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype::integer & 66 = 0
    ) AS after_triggers,
    -- Foreign keys to the table. Each has copies for the partitions on both of its sides: only the topmost counts.
    (
        SELECT pg_catalog.jsonb_agg(
            pg_catalog.jsonb_build_object(
                'schema', n.nspname,
                'table', c.relname,
                'constraint', f.conname,
                'on_delete', f.confdeltype,
                'on_update', f.confupdtype,
                'columns', (
                    SELECT pg_catalog.jsonb_agg(a.attname ORDER BY part.place)
                    FROM unnest(f.conkey) WITH ORDINALITY AS part (attnum, place)
                    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = part.attnum
                ),
                -- Those that SET NULL and SET DEFAULT write, where they are named.
                'set', (
                    SELECT pg_catalog.jsonb_agg(a.attname ORDER BY part.place)
                    FROM unnest(f.confdelsetcols) WITH ORDINALITY AS part (attnum, place)
                    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = part.attnum
                ),
                'referenced', (
                    SELECT pg_catalog.jsonb_agg(a.attname ORDER BY part.place)
                    FROM unnest(f.confkey) WITH ORDINALITY AS part (attnum, place)
                    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = part.attnum
                )
            )
            ORDER BY n.nspname, c.relname, f.conname
        )
        -- Found by their triggers on this side, because pg_constraint has no index on the table referenced.
        FROM (
            SELECT DISTINCT t.tgconstraint
            FROM tree
            JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = tree.oid
            WHERE t.tgisinternal AND t.tgconstraint <> 0
        ) AS enforced
        JOIN pg_catalog.pg_constraint AS f ON f.oid = enforced.tgconstraint AND f.contype = 'f'
        JOIN tree ON tree.oid = f.confrelid
        JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE NOT EXISTS (
            SELECT
            FROM pg_catalog.pg_constraint AS parent
            JOIN tree AS above ON above.oid = parent.confrelid
            WHERE parent.oid = f.conparentid
        )
    ) AS referenced_by
FROM named;

-- name: elsewhere
-- Tables of a name in other schemas, for somebody who left the schema out or wrote a wrong one.
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname::text IN (%(table)s, %(folded_table)s) AND c.relkind IN ('r', 'p')
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
ORDER BY name LIMIT 3

-- name: lock_table
-- The lock that every change of rows takes. Partitions are locked too.
LOCK TABLE {table} IN ROW EXCLUSIVE MODE
