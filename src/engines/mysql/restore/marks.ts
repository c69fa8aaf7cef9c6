import { createHash } from 'node:crypto';
import { DguardError } from '../../../errors.ts';
import { OWN_PREFIX, schemaSize } from '../server/catalog.ts';
import type { ForeignKey } from '../server/foreign-keys.ts';
import { readServer, storedName } from '../server/server-info.ts';
import { identifier, literal, type Session } from '../server/session.ts';

/**
 * `new`: a restore is loading it; `swap`: a swap is going on, and it is to hold what is replaced; `undo`: what a
 * restore replaced; `scratch`: a test restore.
 */
export type MarkRole = 'new' | 'swap' | 'undo' | 'scratch';

/**
 * dguard's mark of a schema of its own: a table in it. Nothing without a mark is ever dropped or taken from,
 * and nothing with one is ever backed up.
 */
export interface Mark {
  readonly role: MarkRole;
  /** The schema that it is to be, or was. */
  readonly target: string;
  readonly backupId: string;
  readonly createdAt: string;
  /** How its events were set, which are off as long as it is not in its place. */
  readonly events?: Readonly<Record<string, string>>;
  /** What a merge replaced: some tables, and those that it added. */
  readonly merge?: { readonly added: readonly string[] };
  /** Foreign keys that its tables had, to what stayed at the target. */
  readonly keys?: readonly ForeignKey[];
}

export interface MarkedSchema extends Mark {
  readonly name: string;
  readonly sizeBytes?: number;
  /** A restore that is still going on holds its lock. */
  readonly inUse: boolean;
}

export const MARK_TABLE = `${OWN_PREFIX}mark`;
const MAX_NAME_CHARS = 64;

/** Puts a mark into a schema, or replaces it. */
export async function writeMark(session: Session, schema: string, mark: Mark): Promise<void> {
  const table = `${identifier(schema)}.${identifier(MARK_TABLE)}`;
  await session.run(
    `CREATE TABLE IF NOT EXISTS ${table} (id VARCHAR(64) CHARACTER SET ascii NOT NULL PRIMARY KEY,
      doc LONGTEXT CHARACTER SET utf8mb4 NOT NULL) ENGINE=InnoDB`,
  );
  await writeDocument(session, schema, 'mark', { dguard: mark });
}

/** One JSON document of ours in a marked schema. */
export async function writeDocument(
  session: Session,
  schema: string,
  id: string,
  value: unknown,
): Promise<void> {
  await session.run(
    `REPLACE INTO ${identifier(schema)}.${identifier(MARK_TABLE)} (id, doc)
      VALUES (${literal(id)}, ${literal(JSON.stringify(value))})`,
  );
}

/** Documents whose id begins with a prefix, by id. */
export async function readDocuments(session: Session, schema: string, prefix: string): Promise<unknown[]> {
  const rows = await session.rows<{ doc: string }>(
    `SELECT doc AS doc FROM ${identifier(schema)}.${identifier(MARK_TABLE)}
      WHERE LEFT(id, ${prefix.length}) = ${literal(prefix)} ORDER BY id`,
  );
  return rows.map(({ doc }) => JSON.parse(doc) as unknown);
}

/**
 * All schemas of this server that carry a mark, newest first; of one target where it is named. Targets are called as the
 * server has them: an older dguard marked them as they were said.
 */
export async function listMarked(session: Session, target?: string): Promise<MarkedSchema[]> {
  const rows = await session.rows<{ name: string }>(
    `SELECT TABLE_SCHEMA AS name FROM information_schema.TABLES WHERE TABLE_NAME = ${literal(MARK_TABLE)}`,
  );
  const folding = (await readServer(session)).lowerCaseTableNames;
  const found: MarkedSchema[] = [];
  for (const { name } of rows) {
    const read = await readMark(session, name);
    if (read === undefined) continue;
    const mark = { ...read, target: storedName(read.target, folding) };
    if (target !== undefined && mark.target !== storedName(target, folding)) continue;
    const size = await schemaSize(session, name);
    const inUse = await isHeld(session, name);
    found.push({ ...mark, name, inUse, ...(size === undefined ? {} : { sizeBytes: size }) });
  }
  return found.sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
}

/** The mark of a schema; undefined where there is none that can be read. */
export async function readMark(session: Session, schema: string): Promise<Mark | undefined> {
  try {
    const [document] = await readDocuments(session, schema, 'mark');
    const mark = (document as { dguard?: Partial<Mark> } | undefined)?.dguard;
    if (!['new', 'swap', 'undo', 'scratch'].includes(mark?.role ?? '')) return undefined;
    if (typeof mark?.target !== 'string') return undefined;
    return { backupId: '', createdAt: '', ...mark } as Mark;
  } catch {
    // A table of that name that is not ours, or not to be read by us.
    return undefined;
  }
}

/**
 * Says, as long as the session lives, that a marked schema is worked on: nothing that cleans up takes it away. Returns
 * the number of its connection, as KILL takes it. Errors: `locked` where another session holds it for over `waitS`.
 */
export async function holdSchema(session: Session, schema: string, waitS = 0): Promise<string> {
  const [row] = await session.rows<{ got: string | null; id: string }>(
    `SELECT GET_LOCK(${literal(lockName(schema))}, ${waitS}) AS got, CONNECTION_ID() AS id`,
  );
  if (row?.got === '1') return row.id;
  throw new DguardError('locked', 'another restore of this database is at work', {
    operation: 'restore',
    subject: schema,
    hint: 'try again when it has ended',
  });
}

/** Takes the hold of a schema over from another session of ours, at no moment free. Returns what `holdSchema` does. */
export async function takeHold(from: Session, to: Session, schema: string): Promise<string> {
  const [connection] = await Promise.all([
    holdSchema(to, schema, TAKE_S),
    from.rows(`SELECT RELEASE_LOCK(${literal(lockName(schema))}) AS freed`).catch(() => {}),
  ]);
  return connection;
}

/** The server notices that long that the session which holds it was broken. */
const TAKE_S = 10;

export async function isHeld(session: Session, schema: string): Promise<boolean> {
  return (await holderOf(session, schema)) !== undefined;
}

/** The number of the connection that holds a schema, as KILL takes it. */
export async function holderOf(session: Session, schema: string): Promise<string | undefined> {
  const [row] = await session.rows<{ used: string | null }>(
    `SELECT IS_USED_LOCK(${literal(lockName(schema))}) AS used`,
  );
  return row?.used ?? undefined;
}

function lockName(schema: string): string {
  return `dguard:${createHash('sha256').update(schema).digest('hex').slice(0, 40)}`;
}

/**
 * A name beside the target's: `app__dg_new_k3x9`. Long names are cut with a hash of the whole, so that two of
 * them stay apart within the server's 64 characters.
 */
export function besideName(target: string, role: 'new' | 'undo' | 'scratch', unique: string): string {
  return `${nameStem(target, role.length + unique.length)}__dg_${role}_${unique}`;
}

/** Names that `besideName` gives for a target. */
export function besidePattern(target: string): RegExp {
  const roles = ['new', 'undo', 'scratch'].map((role) => {
    const stem = nameStem(target, role.length + UNIQUE_CHARS).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return `${stem}__dg_${role}_[0-9a-f]{${UNIQUE_CHARS}}`;
  });
  return new RegExp(`^(?:${roles.join('|')})$`, 'u');
}

/** Of `uniqueWord`. */
const UNIQUE_CHARS = 8;

function nameStem(target: string, suffixChars: number): string {
  const room = MAX_NAME_CHARS - suffixChars - '__dg__'.length;
  if (target.length <= room) return target;
  const hash = createHash('sha256').update(target).digest('hex').slice(0, 6);
  return `${target.slice(0, room - 7)}_${hash}`;
}
