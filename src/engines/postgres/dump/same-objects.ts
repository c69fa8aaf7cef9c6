import { DguardError } from '../../../errors.ts';
import { OWN_SCHEMA, ownObjects } from '../server/catalog.ts';
import type { Session } from '../server/session.ts';

// pg_dump reads catalogs in the snapshot, and has the server write names, arguments and values, which takes them as they
// are at that moment. Locks on tables keep nobody from altering functions, types, views and sequences meanwhile: then the
// dump has some of the old and some of the new, without an error, and does not load.

const OID = '::pg_catalog.text';
const QUALIFIED = (name: string) =>
  `pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(${name})`;

/**
 * Refuses a dump whose definitions may be mixed: some object of the snapshot was dropped, renamed or moved. To be asked
 * when the last definition was just made, in the snapshot and without a search path: what is altered later does no harm.
 */
export async function refuseRenamed(session: Session, subject: string): Promise<void> {
  // The rows are those of the snapshot; the text of an alias type is the name that it has now, or a number.
  const rows = await session.rows<{ n: string }>(`
    SELECT ${QUALIFIED('c.proname')} AS n FROM pg_catalog.pg_proc c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.pronamespace
      WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_proc')}
        AND c.oid::pg_catalog.regproc${OID} <> ${QUALIFIED('c.proname')}
    UNION SELECT ${QUALIFIED('c.relname')} FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_class')} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
        AND c.relpersistence <> 't' AND c.oid::pg_catalog.regclass${OID} <> ${QUALIFIED('c.relname')}
    UNION SELECT ${QUALIFIED('c.typname')} FROM pg_catalog.pg_type c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.typnamespace
      WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_type')} AND c.typtype IN ('b', 'd', 'e', 'r', 'm')
        AND c.typelem = 0 AND c.oid::pg_catalog.regtype${OID} <> ${QUALIFIED('c.typname')}
    ORDER BY 1`);
  if (rows.length > 0) throw altered('dropped or renamed', rows, subject);
}

/** What the text of an enum's or a composite type's values depends on. */
interface TypeState {
  readonly oid: string;
  readonly n: string;
  readonly labels: Readonly<Record<string, string>> | null;
  readonly attributes: string | null;
}

async function readTypes(session: Session): Promise<TypeState[]> {
  return await session.rows(`
    SELECT c.oid${OID} AS oid, ${QUALIFIED('c.typname')} AS n,
      (SELECT pg_catalog.jsonb_object_agg(e.oid, e.enumlabel) FROM pg_catalog.pg_enum e WHERE e.enumtypid = c.oid) AS labels,
      (SELECT pg_catalog.string_agg(pg_catalog.concat(a.attnum, ':', a.atttypid), ' ' ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes
    FROM pg_catalog.pg_type c JOIN pg_catalog.pg_namespace n ON n.oid = c.typnamespace
    WHERE ${OWN_SCHEMA} AND ${ownObjects('c', 'pg_type')} AND (c.typtype = 'e' OR c.typtype = 'c'
      AND EXISTS (SELECT 1 FROM pg_catalog.pg_class r WHERE r.oid = c.typrelid AND r.relkind = 'c'))`);
}

/**
 * Refuses a dump whose rows may have words that its own types do not know: a label of an enum was renamed, or attributes
 * of a composite type were added or dropped, while rows were read. Ends the snapshot's transaction.
 */
export async function refuseAlteredTypes(session: Session, subject: string): Promise<void> {
  const before = await readTypes(session);
  if (before.length === 0) return;
  await session.run('COMMIT');
  const now = new Map((await readTypes(session)).map((type) => [type.oid, type]));
  // A type that is gone was used by no table: those are locked.
  const other = before.filter(({ oid, labels, attributes }) => {
    const found = now.get(oid);
    if (found === undefined) return false;
    const old = Object.entries(labels ?? {});
    return attributes !== found.attributes || old.some(([label, text]) => found.labels?.[label] !== text);
  });
  if (other.length > 0) throw altered('altered', other, subject);
}

function altered(how: string, objects: readonly { readonly n: string }[], subject: string): DguardError {
  const named = objects.slice(0, 5).map(({ n }) => n);
  return new DguardError(
    'source_failed',
    `functions, types or other objects were ${how} while they were dumped: ${named.join(', ')}`,
    { operation: 'dump', subject, hint: 'run the backup again; not while migrations run' },
  );
}
