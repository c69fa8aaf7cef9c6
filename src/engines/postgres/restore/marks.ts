import { createHash } from 'node:crypto';
import { literal, type Session } from '../server/session.ts';

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
  /** Somebody is connected: a restore that is still going on. */
  readonly inUse: boolean;
}

const MAX_NAME_BYTES = 63;

/** How the text of a mark begins, as a pattern of LIKE, in SQL. */
export const MARKED = literal('{"dguard":%');

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

/** All databases of this server that carry a mark, newest first; of one target where it is named. */
export async function listMarked(session: Session, target?: string): Promise<MarkedDatabase[]> {
  const rows = await session.rows<{ name: string; comment: string; size: string | null; used: boolean }>(`
    SELECT d.datname AS name, c.description AS comment,
      CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
        THEN pg_catalog.pg_database_size(d.oid)::pg_catalog.text END AS size,
      EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid
        AND a.backend_type = 'client backend') AS used
    FROM pg_catalog.pg_database d JOIN pg_catalog.pg_shdescription c ON c.objoid = d.oid
      AND c.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass
    WHERE c.description LIKE ${MARKED}`);
  return rows
    .flatMap(({ name, comment, size, used }) => {
      const mark = parseMark(comment);
      if (!mark || (target !== undefined && mark.target !== target)) return [];
      return [{ ...mark, name, inUse: used, ...(size === null ? {} : { sizeBytes: Number(size) }) }];
    })
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
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
