/**
 * The one statement that describes the tables: relations, columns, indexes, publication and types, as a JSON document.
 *
 * One statement means one snapshot, so its parts belong together; and two equal documents mean that nothing changed, so its digest is
 * the fingerprint. What changes by itself (row estimates) stays outside of it.
 * Facts: documentation of `pg_class`, `pg_inherits`, `pg_index`, `pg_publication_tables`, `pg_type`, `pg_range`.
 */

/** Multiranges came with 14, and with them the column that names them: taken through JSON, it is null before. */
const multirangeOf = "(pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid";

/** Types of `type_ids(oid)` with everything that they are made of, as a JSON list. */
function typesSql(seed: string): string {
  return `
    WITH RECURSIVE type_ids(oid) AS (
      SELECT seed.oid FROM (${seed}) seed(oid)
      UNION
      SELECT part.oid FROM type_ids, LATERAL (
        SELECT t.typelem FROM pg_catalog.pg_type t WHERE t.oid = type_ids.oid AND t.typelem <> 0
        UNION ALL SELECT t.typbasetype FROM pg_catalog.pg_type t WHERE t.oid = type_ids.oid AND t.typbasetype <> 0
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE type_ids.oid IN (r.rngtypid, ${multirangeOf})
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
          WHERE t.oid = type_ids.oid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
      ) part(oid)
    )
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
      'oid', t.oid::pg_catalog.int8, 'namespace', n.nspname, 'name', t.typname, 'kind', t.typtype::pg_catalog.text,
      'category', t.typcategory::pg_catalog.text, 'length', t.typlen,
      'element', t.typelem::pg_catalog.int8, 'delimiter', t.typdelim::pg_catalog.text,
      'base', t.typbasetype::pg_catalog.int8, 'modifier', t.typtypmod, 'extension', e.extname,
      'subtype', (SELECT r.rngsubtype::pg_catalog.int8 FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, ${multirangeOf})),
      'fields', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', a.atttypid::pg_catalog.int8, 'modifier', a.atttypmod) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
    ) ORDER BY t.oid)
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid
      AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e'
    LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
    WHERE t.oid IN (SELECT oid FROM type_ids)`;
}

/** `$1` OIDs: these types and all that they are made of. */
export const typesByOidSql = `SELECT (${typesSql('SELECT unnest($1::pg_catalog.int8[])::pg_catalog.oid')})::pg_catalog.text AS types`;

/** `$1` a schema, `$2` a type's name. */
export const typesByNameSql = `SELECT (${typesSql(
  'SELECT t.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = $1 AND t.typname = $2',
)})::pg_catalog.text AS types`;

/** A type as a person writes it, with what is declared about it: `$1` OIDs, `$2` type modifiers. */
export const formatTypesSql = `
  SELECT type AS oid, modifier, pg_catalog.format_type(type::pg_catalog.oid, modifier) AS formatted
  FROM ROWS FROM (unnest($1::pg_catalog.int8[]), unnest($2::pg_catalog.int4[])) AS wanted(type, modifier)`;

const columnsSql = `
  SELECT COALESCE(pg_catalog.json_agg(pg_catalog.json_build_object(
    'number', a.attnum, 'name', a.attname, 'type', a.atttypid::pg_catalog.int8, 'modifier', a.atttypmod,
    'formatted', pg_catalog.format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
    'generated', a.attgenerated::pg_catalog.text, 'filled', a.atthasmissing, 'version', a.xmin::pg_catalog.text
  ) ORDER BY a.attnum), '[]')
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped`;

/** Indexes that can tell rows apart: unique at once, over whole columns and all rows. Includes the ones with nullable columns. */
const indexesSql = `
  SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
    'name', ic.relname, 'primary', i.indisprimary, 'replica_identity', i.indisreplident,
    'columns', (SELECT pg_catalog.json_agg(a.attname ORDER BY k.place)
      FROM unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY k(number, place)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE k.place <= i.indnkeyatts),
    'equality', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('namespace', pn.nspname, 'operator', o.oprname) ORDER BY k.place)
      FROM unnest(i.indclass::pg_catalog.oid[]) WITH ORDINALITY k(class, place)
      JOIN pg_catalog.pg_opclass oc ON oc.oid = k.class
      JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
        AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
      JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
      JOIN pg_catalog.pg_namespace pn ON pn.oid = o.oprnamespace)
  ) ORDER BY i.indisprimary DESC, i.indnkeyatts, ic.relname)
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid JOIN pg_catalog.pg_am am ON am.oid = ic.relam
  WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND am.amname = 'btree'`;

/**
 * `$1` full names of tables, `$2` the publication. One row: `document`, its `digest`, `estimates` of rows by OID.
 * `inhdetachpending` came with 14, `attnames` and `rowfilter` with 15: taken through JSON, the statement is the same before.
 */
export const documentSql = `
  WITH RECURSIVE tree(oid, root, parent) AS (
    SELECT c.oid, c.oid, NULL::pg_catalog.oid
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname || '.' || c.relname = ANY ($1) AND c.relkind NOT IN ('i', 'I', 't', 'c')
    UNION
    SELECT i.inhrelid, tree.root, i.inhparent FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid AND (pg_catalog.to_jsonb(i) ->> 'inhdetachpending') IS DISTINCT FROM 'true'
  ),
  member AS MATERIALIZED (
    SELECT schemaname, tablename, pg_catalog.to_jsonb(pt) -> 'attnames' AS columns, pg_catalog.to_jsonb(pt) ->> 'rowfilter' AS filter
    FROM pg_catalog.pg_publication_tables pt WHERE pubname = $2
  ),
  relation AS (
    SELECT c.oid, c.reltuples, pg_catalog.json_build_object(
      'oid', c.oid::pg_catalog.int8, 'namespace', n.nspname, 'name', c.relname, 'kind', c.relkind::pg_catalog.text,
      'persistence', c.relpersistence::pg_catalog.text, 'partition', c.relispartition, 'identity', c.relreplident::pg_catalog.text,
      'roots', (SELECT pg_catalog.json_agg(DISTINCT tree.root::pg_catalog.int8) FROM tree WHERE tree.oid = c.oid),
      'file', pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.int8,
      'published', (SELECT pg_catalog.json_build_object('columns', m.columns, 'filter', m.filter)
        FROM member m WHERE m.schemaname = n.nspname AND m.tablename = c.relname),
      'published_as', (SELECT an.nspname || '.' || ac.relname FROM pg_catalog.pg_partition_ancestors(c.oid) a
        JOIN pg_catalog.pg_class ac ON ac.oid = a.relid JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace
        JOIN member m ON m.schemaname = an.nspname AND m.tablename = ac.relname WHERE a.relid <> c.oid LIMIT 1),
      'membership', (SELECT pg_catalog.json_agg(pr.oid::pg_catalog.int8 ORDER BY pr.oid) FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel pr ON pr.prpubid = p.oid
        WHERE p.pubname = $2 AND (pr.prrelid = c.oid OR pr.prrelid IN (SELECT a.relid FROM pg_catalog.pg_partition_ancestors(c.oid) a))),
      'columns', (${columnsSql}), 'indexes', (${indexesSql})
    ) AS described
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT oid FROM tree)
  ),
  document AS (
    SELECT pg_catalog.json_build_object(
      'publication', (SELECT pg_catalog.json_build_object('name', p.pubname, 'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete,
        'truncate', p.pubtruncate, 'via_root', p.pubviaroot, 'all_tables', p.puballtables)
        FROM pg_catalog.pg_publication p WHERE p.pubname = $2),
      'version', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
      'relations', COALESCE((SELECT pg_catalog.json_agg(described ORDER BY oid) FROM relation), '[]'),
      'types', COALESCE((${typesSql(
        'SELECT DISTINCT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid IN (SELECT oid FROM tree) AND a.attnum > 0 AND NOT a.attisdropped',
      )}), '[]')
    )::pg_catalog.text AS document
  )
  SELECT document, pg_catalog.md5(document) AS digest,
    (SELECT pg_catalog.json_object_agg(oid::pg_catalog.int8, reltuples) FROM relation)::pg_catalog.text AS estimates
  FROM document`;

/** The digest alone, for the poll. */
export const digestSql = `SELECT digest FROM (${documentSql}) described`;
