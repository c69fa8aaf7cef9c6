import { createHash } from 'node:crypto';
import { MARKED } from '../server/catalog.ts';
import type { Session } from '../server/session.ts';

/** `new`: a restore is loading it; `undo`: what a restore replaced; `scratch`: a test restore. */
export type MarkRole = 'new' | 'undo' | 'scratch';

/**
 * dguard's mark of a database of its own: its comment, as JSON. Nothing without a mark is ever renamed or
 * dropped, and nothing with one is ever backed up.
 */
export interface Mark {
  readonly role: MarkRole;
  /** The database that it is to be, or was. */
  readonly target: string;
  readonly backupId: string;
  readonly createdAt: string;
  /** The comment that it had, to be given back. */
  readonly comment?: string;
}

export interface MarkedDatabase extends Mark {
  readonly name: string;
  readonly sizeBytes?: number;
  /** A restore that is still going on holds it, or somebody is connected. */
  readonly inUse: boolean;
}

/** NAMEDATALEN of every build that is in use, less its end. */
export const MAX_NAME_BYTES = 63;

/**
 * The connection limit that a database of ours is created with: its mark until it has its comment, which no
 * statement that creates can give it. Nobody sets it, and it limits nobody.
 */
export const BEGUN_LIMIT = 0x64677561;
/** The first key of the advisory locks of dguard's restores; the second is the word that ends the name. */
const HOLD_CLASS = BEGUN_LIMIT;
/** Of `uniqueWord`. */
const UNIQUE_CHARS = 8;
const BEGUN_NAME = /^(?<target>.*)__dg_(?<role>new|scratch)_(?<unique>[0-9a-f]{8})$/s;

export function markText(mark: Mark): string {
  return JSON.stringify({ dguard: mark });
}

/** The mark in a database's comment; undefined for any other text. */
export function parseMark(comment: string | null | undefined): Mark | undefined {
  if (!comment?.startsWith('{"dguard":')) return undefined;
  try {
    const { dguard: mark } = JSON.parse(comment) as { dguard: Partial<Mark> };
    if (!['new', 'undo', 'scratch'].includes(mark.role ?? '') || typeof mark.target !== 'string')
      return undefined;
    return { backupId: '', createdAt: '', ...mark } as Mark;
  } catch {
    return undefined;
  }
}

/** Databases of this server that carry a mark, newest first; of these targets, or of all where none are named. */
export async function listMarked(
  session: Session,
  targets: readonly string[] = [],
): Promise<MarkedDatabase[]> {
  const rows = await session.rows<Row>(`
    SELECT d.datname AS name, c.description AS comment,
      CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
        THEN pg_catalog.pg_database_size(d.oid)::pg_catalog.text END AS size,
      EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE (a.datid = d.oid
        AND a.backend_type = 'client backend') OR (c.description IS NULL AND a.pid <> pg_catalog.pg_backend_pid()
        AND pg_catalog.strpos(a.query, pg_catalog.replace(d.datname, '"', '""')) > 0))
        OR EXISTS (SELECT 1 FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted
        AND l.objsubid = 2 AND l.classid = ${HOLD_CLASS} AND pg_catalog.lpad(pg_catalog.to_hex(
        l.objid::pg_catalog.int8), ${UNIQUE_CHARS}, '0') = pg_catalog.right(d.datname, ${UNIQUE_CHARS}))
        -- The primary's sessions and locks cannot be seen from a standby.
        OR pg_catalog.pg_is_in_recovery() AS used
    FROM pg_catalog.pg_database d LEFT JOIN pg_catalog.pg_shdescription c ON c.objoid = d.oid
      AND c.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass
    WHERE c.description LIKE ${MARKED} OR (c.description IS NULL AND d.datconnlimit = ${BEGUN_LIMIT})`);
  return rows
    .flatMap(({ name, comment, size, used }) => {
      const mark = comment === null ? begunMark(name, targets) : parseMark(comment);
      if (!mark || (targets.length > 0 && !targets.includes(mark.target))) return [];
      return [{ ...mark, name, inUse: used, ...(size === null ? {} : { sizeBytes: Number(size) }) }];
    })
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
}

/**
 * Says, as long as the session lives, whichever database it is in, that the database of ours with this word at the end
 * of its name is worked on: between load and swap nobody is connected to it. Taken before it is made.
 */
export async function holdBeside(session: Session, unique: string): Promise<void> {
  // Shared: two restores of one word in 2^32 must not wait for each other.
  await session.rows(
    `SELECT pg_catalog.pg_advisory_lock_shared(${HOLD_CLASS}, '${Number.parseInt(unique, 16) | 0}'::pg_catalog.int4) AS held`,
  );
}

/** Whether a server's process is at a database of this role and these targets that has no mark yet. Its client may be gone. */
export async function isBeingMade(
  session: Session,
  role: MarkRole,
  targets: readonly string[],
): Promise<boolean> {
  const rows = await session.rows<{ name: string }>(`
    SELECT pg_catalog.replace(pg_catalog.substring(query, '^CREATE DATABASE "((?:[^"]|"")*)"'), '""', '"') AS name
    FROM pg_catalog.pg_stat_activity
    WHERE pid <> pg_catalog.pg_backend_pid() AND pg_catalog.starts_with(query, 'CREATE DATABASE "')`);
  return rows.some(({ name }) => {
    const mark = begunMark(name, targets);
    return mark?.role === role && (targets.length === 0 || targets.includes(mark.target));
  });
}

interface Row {
  readonly name: string;
  readonly comment: string | null;
  readonly size: string | null;
  /** Somebody holds it, is connected to it or, without a comment yet, has made it last. */
  readonly used: boolean;
}

/** What the name says of a database that was created, and whose creator did not live to mark it. */
function begunMark(name: string, targets: readonly string[]): Mark | undefined {
  const parts = BEGUN_NAME.exec(name)?.groups;
  if (parts === undefined) return undefined;
  const role = parts['role'] as MarkRole;
  // A long target's name was cut.
  const target = targets.find((one) => besideName(one, role, parts['unique']!) === name) ?? parts['target']!;
  return { role, target, backupId: '', createdAt: '' };
}

/**
 * A name beside the target's: `app__dg_new_k3x9`. Long names are cut with a hash of the whole, so that two of
 * them stay apart within the server's 63 bytes.
 */
export function besideName(target: string, role: MarkRole, unique: string): string {
  const suffix = `__dg_${role}_${unique}`;
  const room = MAX_NAME_BYTES - suffix.length;
  if (Buffer.byteLength(target) <= room) return target + suffix;
  const hash = createHash('sha256').update(target).digest('hex').slice(0, 6);
  let cut = target;
  while (Buffer.byteLength(cut) > room - 7) cut = cut.slice(0, -1);
  return `${cut}_${hash}${suffix}`;
}
