import { createHash } from 'node:crypto';
import { MARKED, OWN_SCHEMA, ownObjects } from './catalog.ts';
import type { Session } from './session.ts';

interface HashOptions {
  /** Whether what is said of large objects counts; a JSONL export has none. Default: true */
  readonly largeObjects?: boolean;
}

/**
 * SHA-256 over what the catalogs say of all objects: the same for a database and its restored copy on a
 * server of the same major. Not over the text of a dump, which has random keys and comes in another order.
 * Owners, privileges, the versions of extensions and subscriptions (a test restore makes none) are left out: they
 * differ by right. So does the order of
 * columns in a table that inherits: they come in the order of the parent's once it was dumped and restored; and that
 * of a foreign server's options: pg_dump sorts them.
 */
export async function schemaHash(session: Session, options: HashOptions = {}): Promise<string> {
  return createHash('sha256')
    .update((await schemaLines(session, options)).join('\n'))
    .digest('hex');
}

/** What the hash is of: kind, name and definition of each object, as JSON, sorted. */
async function schemaLines(session: Session, { largeObjects = true }: HashOptions = {}): Promise<string[]> {
  const all = await session.rows<{ k: string; n: string; d: string | null }>(
    QUERIES.map((query) => `SELECT k, n, d FROM (${query}) part`).join(' UNION ALL '),
  );
  const rows = all.filter(({ k, n }) => largeObjects || k !== 'comment' || !/^large object \d+$/.test(n));
  return rows.map(({ k, n, d }) => JSON.stringify([k, n, normalise(k, d ?? '')])).sort();
}

const CAST =
  /::(?:"(?:[^"]|"")*"|\w+)(?:\.(?:"(?:[^"]|"")*"|\w+))?(?: varying| precision)?(?:\(\d+(?:,\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*/g;

/**
 * The server writes an expression back with casts and parentheses of its own: `x IN ('a')` over varchar reads
 * `(x)::text = ANY ((ARRAY['a'::character varying])::text[])` at first, and with the cast elsewhere after a
 * dump and a restore. So they do not count. Source text (`function`) is taken as it is.
 */
function normalise(kind: string, definition: string): string {
  if (kind === 'function') return definition;
  return definition.replace(CAST, '').replace(/[()\s]+/g, '');
}

const RELATION = `n.nspname || '.' || c.relname`;
const FROM_RELATION = `pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`;
const OWN_RELATION = `${OWN_SCHEMA} AND c.relpersistence <> 't' AND ${ownObjects('c', 'pg_class')}`;

/** Own objects of a catalog that has a name and a schema. */
function named(
  kind: string,
  catalog: string,
  prefix: string,
  definition: string,
  condition = 'true',
): string {
  return `SELECT '${kind}' AS k, n.nspname || '.' || c.${prefix}name AS n, ${definition} AS d
    FROM pg_catalog.${catalog} c JOIN pg_catalog.pg_namespace n ON n.oid = c.${prefix}namespace
    WHERE ${OWN_SCHEMA} AND ${ownObjects('c', catalog)} AND ${condition}`;
}

/** Each gives kind, name and definition. */
const QUERIES: readonly string[] = [
  `SELECT 'schema' AS k, n.nspname AS n, '' AS d FROM pg_catalog.pg_namespace n
    WHERE ${OWN_SCHEMA} AND ${ownObjects('n', 'pg_namespace')}`,
  `SELECT 'relation' AS k, ${RELATION} AS n, pg_catalog.concat_ws(' ', c.relkind, c.relpersistence, c.relrowsecurity,
      c.relforcerowsecurity, c.relreplident, c.reloptions::pg_catalog.text,
      (SELECT a.amname FROM pg_catalog.pg_am a WHERE a.oid = c.relam),
      CASE WHEN c.relkind = 'p' THEN pg_catalog.pg_get_partkeydef(c.oid) END,
      pg_catalog.pg_get_expr(c.relpartbound, c.oid),
      CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) END,
      (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.regclass::pg_catalog.text, ',' ORDER BY i.inhseqno)
        FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid),
      CASE WHEN c.reloftype <> 0 THEN pg_catalog.format_type(c.reloftype, NULL) END) AS d
    FROM ${FROM_RELATION} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ${OWN_RELATION}`,
  `SELECT 'column' AS k, ${RELATION} || '.' || a.attname AS n, pg_catalog.concat_ws(' ',
      CASE WHEN NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
        THEN pg_catalog.row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum) END,
      pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
      pg_catalog.pg_get_expr(f.adbin, f.adrelid), a.attoptions::pg_catalog.text,
      CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::pg_catalog.regcollation::pg_catalog.text END) AS d
    FROM ${FROM_RELATION} JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = c.oid AND f.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND ${OWN_RELATION}`,
  `SELECT 'constraint' AS k, coalesce(r.relname, t.typname) || '.' || c.conname AS n,
      pg_catalog.concat_ws(' ', n.nspname, c.convalidated, pg_catalog.pg_get_constraintdef(c.oid)) AS d
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
    LEFT JOIN pg_catalog.pg_class r ON r.oid = c.conrelid LEFT JOIN pg_catalog.pg_type t ON t.oid = c.contypid
    WHERE ${OWN_SCHEMA} AND c.conparentid = 0 AND c.contype NOT IN ('n', 't')
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend dep WHERE dep.deptype = 'e' AND dep.objid IN (r.oid, t.oid))`,
  `SELECT 'index' AS k, ${RELATION} AS n, pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(c.oid),
      x.indisvalid, x.indisclustered, x.indisreplident) AS d
    FROM ${FROM_RELATION} JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid
    WHERE c.relkind IN ('i', 'I') AND ${OWN_RELATION}
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend dep WHERE dep.deptype = 'e' AND dep.objid = x.indrelid
        AND dep.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)`,
  `SELECT 'sequence' AS k, ${RELATION} AS n, pg_catalog.concat_ws(' ', pg_catalog.format_type(s.seqtypid, NULL),
      s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle) AS d
    FROM ${FROM_RELATION} JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid WHERE ${OWN_RELATION}`,
  `SELECT 'trigger' AS k, ${RELATION} || '.' || g.tgname AS n,
      pg_catalog.concat_ws(' ', pg_catalog.pg_get_triggerdef(g.oid), g.tgenabled) AS d
    FROM ${FROM_RELATION} JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid
    WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND ${OWN_RELATION}`,
  `SELECT 'rule' AS k, ${RELATION} || '.' || r.rulename AS n,
      pg_catalog.concat_ws(' ', pg_catalog.pg_get_ruledef(r.oid), r.ev_enabled) AS d
    FROM ${FROM_RELATION} JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid
    WHERE r.rulename <> '_RETURN' AND ${OWN_RELATION}`,
  `SELECT 'policy' AS k, ${RELATION} || '.' || p.polname AS n, pg_catalog.concat_ws(' ', p.polcmd, p.polpermissive,
      pg_catalog.pg_get_expr(p.polqual, c.oid), '/', pg_catalog.pg_get_expr(p.polwithcheck, c.oid)) AS d
    FROM ${FROM_RELATION} JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid WHERE ${OWN_RELATION}`,
  `SELECT CASE WHEN c.prosqlbody IS NULL AND c.prokind <> 'a' THEN 'function' ELSE 'routine' END AS k,
      n.nspname || '.' || c.proname || '(' || pg_catalog.pg_get_function_identity_arguments(c.oid) || ')' AS n,
      CASE WHEN c.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(c.oid)
        ELSE (SELECT pg_catalog.concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggkind, a.agginitval,
          pg_catalog.format_type(a.aggtranstype, NULL), pg_catalog.format_type(c.prorettype, NULL))
          FROM pg_catalog.pg_aggregate a WHERE a.aggfnoid = c.oid) END AS d
    FROM pg_catalog.pg_proc c JOIN pg_catalog.pg_namespace n ON n.oid = c.pronamespace
    WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_proc')}
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend i WHERE i.deptype = 'i' AND i.objid = c.oid
        AND i.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)`,
  named(
    'type',
    'pg_type',
    'typ',
    `pg_catalog.concat_ws(' ', c.typtype, c.typnotnull, c.typdefault,
      CASE WHEN c.typbasetype <> 0 THEN pg_catalog.format_type(c.typbasetype, c.typtypmod) END,
      (SELECT pg_catalog.string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
        FROM pg_catalog.pg_enum e WHERE e.enumtypid = c.oid),
      (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r WHERE r.rngtypid = c.oid))`,
    `c.typtype IN ('b', 'c', 'd', 'e', 'r', 'm') AND c.typelem = 0
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class r WHERE r.oid = c.typrelid AND r.relkind <> 'c')`,
  ),
  named(
    'collation',
    'pg_collation',
    'coll',
    `pg_catalog.concat_ws(' ', c.collprovider, c.collisdeterministic)`,
  ),
  named(
    'operator',
    'pg_operator',
    'opr',
    `pg_catalog.concat_ws(' ', pg_catalog.format_type(c.oprleft, NULL), pg_catalog.format_type(c.oprright, NULL), c.oprcode)`,
    // Named by another one as its opposite, and never defined: no dump holds it.
    'c.oprcode <> 0',
  ),
  named('operator class', 'pg_opclass', 'opc', `pg_catalog.format_type(c.opcintype, NULL)`),
  named('text search configuration', 'pg_ts_config', 'cfg', `''`),
  named('text search dictionary', 'pg_ts_dict', 'dict', 'c.dictinitoption'),
  named('statistics', 'pg_statistic_ext', 'stx', 'pg_catalog.pg_get_statisticsobjdef(c.oid)'),
  `SELECT 'extension' AS k, e.extname AS n, s.nspname AS d FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace s ON s.oid = e.extnamespace`,
  `SELECT 'event trigger' AS k, c.evtname AS n, pg_catalog.concat_ws(' ', c.evtevent, c.evtfoid::pg_catalog.regproc,
      c.evtenabled, c.evttags::pg_catalog.text) AS d
    FROM pg_catalog.pg_event_trigger c WHERE ${ownObjects('c', 'pg_event_trigger')}`,
  `SELECT 'publication' AS k, c.pubname AS n, pg_catalog.concat_ws(' ', c.puballtables, c.pubinsert, c.pubupdate,
      c.pubdelete, c.pubtruncate, (SELECT pg_catalog.string_agg(r.prrelid::pg_catalog.regclass::pg_catalog.text, ','
        ORDER BY r.prrelid::pg_catalog.regclass::pg_catalog.text COLLATE "C")
        FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = c.oid)) AS d
    FROM pg_catalog.pg_publication c`,
  `SELECT 'cast' AS k, pg_catalog.format_type(c.castsource, NULL) || ' AS ' || pg_catalog.format_type(c.casttarget, NULL) AS n,
      pg_catalog.concat_ws(' ', c.castcontext, c.castmethod, c.castfunc::pg_catalog.regproc) AS d
    FROM pg_catalog.pg_cast c WHERE c.oid >= 16384 AND ${ownObjects('c', 'pg_cast')}`,
  `SELECT 'foreign server' AS k, c.srvname AS n, (SELECT pg_catalog.array_agg(o ORDER BY o COLLATE "C")
      FROM pg_catalog.unnest(c.srvoptions) o)::pg_catalog.text AS d
    FROM pg_catalog.pg_foreign_server c WHERE ${ownObjects('c', 'pg_foreign_server')}`,
  `SELECT 'language' AS k, c.lanname AS n, '' AS d FROM pg_catalog.pg_language c
    WHERE c.oid >= 16384 AND ${ownObjects('c', 'pg_language')}`,
  `SELECT 'comment' AS k, i.type || ' ' || i.identity AS n, c.description AS d
    FROM pg_catalog.pg_description c, LATERAL pg_catalog.pg_identify_object(c.classoid, c.objoid, c.objsubid) i
    WHERE c.objoid >= 16384 AND i.identity IS NOT NULL AND c.description NOT LIKE ${MARKED} AND c.classoid <> ALL ('{pg_catalog.pg_extension,pg_catalog.pg_subscription}'::pg_catalog.regclass[])
      AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend dep WHERE dep.deptype = 'e' AND dep.objid = c.objoid
        AND dep.classid = c.classoid)`,
];
