import { createHash, randomBytes } from 'node:crypto';
import { MASTER } from '../server/server.ts';
import type { Session } from '../server/session.ts';
import { identifier, literal } from '../server/sql.ts';

/**
 * `new`: a restore is loading it; `ready`: it is whole, and about to take its place; `swap`: it is being
 * replaced; `undo`: what a restore replaced; `scratch`: a test restore.
 */
export type MarkRole = 'new' | 'ready' | 'swap' | 'undo' | 'scratch';

/**
 * dguard's mark of a database of its own: an extended property of the database, as JSON. Nothing without a
 * mark is ever renamed back or dropped, and nothing with one is ever backed up.
 */
export interface Mark {
  readonly role: MarkRole;
  /** The database that it is to be, or was. */
  readonly target: string;
  readonly backupId: string;
  readonly createdAt: string;
}

export interface MarkedDatabase extends Mark {
  readonly name: string;
  /** A restore that is still going on holds its lock. */
  readonly inUse: boolean;
}

const PROPERTY = 'dguard';
const MAX_NAME_CHARS = 128;
const NAME = /__dg_(new|undo|scratch)_[0-9a-f]{8}$/;

/** A name beside the target's: `app__dg_new_0a1b2c3d`. */
export function besideName(target: string, role: 'new' | 'undo' | 'scratch'): string {
  const suffix = `__dg_${role}_${randomBytes(4).toString('hex')}`;
  const room = MAX_NAME_CHARS - suffix.length;
  if (target.length <= room) return target + suffix;
  const hash = createHash('sha256').update(target).digest('hex').slice(0, 6);
  return `${target.slice(0, room - 7)}_${hash}${suffix}`;
}

/** Could it be one of ours? Only its mark says that it is. */
export function isMarkedName(name: string): boolean {
  return NAME.test(name);
}

/** The statement that marks a database, whatever it was marked as before. */
export function markStatement(database: string, mark: Mark): string {
  const value = literal(JSON.stringify(mark));
  const call = (procedure: string) =>
    `EXEC ${identifier(database)}.sys.${procedure} @name = ${literal(PROPERTY)}`;
  return `${existsProperty(database)} ${call('sp_updateextendedproperty')}, @value = ${value} ELSE ${call('sp_addextendedproperty')}, @value = ${value}`;
}

/** A statement about a database that the same batch makes: it must not be compiled before that. */
export function deferred(sql: string): string {
  return `EXEC(${literal(sql)})`;
}

export function unmarkStatement(database: string): string {
  return `${existsProperty(database)} EXEC ${identifier(database)}.sys.sp_dropextendedproperty @name = ${literal(PROPERTY)}`;
}

function existsProperty(database: string): string {
  return `IF EXISTS (SELECT 1 FROM ${identifier(database)}.sys.extended_properties WHERE class = 0 AND name = ${literal(PROPERTY)})`;
}

/** The mark in the text of the property; undefined for any other text. */
export function parseMark(text: unknown): Mark | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const mark = JSON.parse(text) as Partial<Mark> | null;
    if (!['new', 'ready', 'swap', 'undo', 'scratch'].includes(mark?.role ?? '')) return undefined;
    if (typeof mark?.target !== 'string') return undefined;
    return { backupId: '', createdAt: '', ...mark } as Mark;
  } catch {
    return undefined;
  }
}

export async function readMark(session: Session, database: string): Promise<Mark | undefined> {
  const [row] = await session
    .rows<{ value: string }>(
      `SELECT CONVERT(nvarchar(4000), value) AS value FROM ${identifier(database)}.sys.extended_properties
        WHERE class = 0 AND name = ${literal(PROPERTY)}`,
    )
    .catch(() => []); // offline, being restored, or not to be entered
  return parseMark(row?.value);
}

/**
 * All databases that carry a mark, newest first; of one target where it is named. One that is being swapped may
 * still be called as the target is.
 */
export async function listMarked(session: Session, target?: string): Promise<MarkedDatabase[]> {
  const rows = await session.rows<{ name: string }>('SELECT name FROM sys.databases');
  const found: MarkedDatabase[] = [];
  for (const { name } of rows) {
    if (!isMarkedName(name) && name !== target) continue;
    const mark = await readMark(session, name);
    if (mark === undefined || (target !== undefined && mark.target !== target)) continue;
    found.push({ ...mark, name, inUse: await isHeld(session, mark.target) });
  }
  return found.sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
}

/** Says, as long as the session lives, that a restore of this target is going on. False where one already is. */
export async function holdTarget(session: Session, target: string): Promise<boolean> {
  const [row] = await session.rows<{ result: number }>(
    `DECLARE @r int; EXEC @r = ${MASTER}.sys.sp_getapplock @Resource = ${literal(lockName(target))}, @LockMode = 'Exclusive',
      @LockOwner = 'Session', @LockTimeout = 0, @DbPrincipal = 'public'; SELECT @r AS result`,
  );
  return Number(row?.result) >= 0;
}

/** 0: somebody else holds it. https://learn.microsoft.com/sql/t-sql/functions/applock-test-transact-sql */
export async function isHeld(session: Session, target: string): Promise<boolean> {
  const [row] = await session.rows<{ free: number }>(
    `SELECT APPLOCK_TEST('public', ${literal(lockName(target))}, 'Exclusive', 'Session') AS free`,
  );
  return Number(row?.free) === 0;
}

function lockName(target: string): string {
  return `dguard:${createHash('sha256').update(target).digest('hex').slice(0, 40)}`;
}
