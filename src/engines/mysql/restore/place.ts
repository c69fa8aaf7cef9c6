import { randomBytes } from 'node:crypto';
import { abortError, DguardError, errorText } from '../../../errors.ts';
import { lookUntil, withSession } from '../../sessions.ts';
import { isEmptySchema, readSchema, type SchemaFacts } from '../server/catalog.ts';
import { serverErrorNumber } from '../server/failures.ts';
import { openServer, type Server } from '../server/server.ts';
import { identifier, type Session } from '../server/session.ts';
import {
  besideName,
  besidePattern,
  holderOf,
  holdSchema,
  isHeld,
  MARK_TABLE,
  type Mark,
  readMark,
  writeMark,
} from './marks.ts';
import type { Work } from './restore-work.ts';

/** ER_OPTION_PREVENTS_STATEMENT, ER_READ_ONLY_MODE. */
const READ_ONLY = [1290, 1836];
/** ER_UNKNOWN_COLLATION, ER_UNKNOWN_CHARACTER_SET. */
const UNKNOWN_CHARSET = [1273, 1115];

/** A word that keeps names beside one target apart. */
export function uniqueWord(): string {
  return randomBytes(4).toString('hex');
}

/** Creates a marked, empty schema beside the target, held by this session; returns its name. */
export async function createMarked(session: Session, mark: Mark, facts: SchemaFacts): Promise<string> {
  const name = besideName(mark.target, mark.role === 'swap' ? 'undo' : mark.role, uniqueWord());
  await holdSchema(session, name);
  await createHeld(session, mark, facts, name);
  return name;
}

async function createHeld(session: Session, mark: Mark, facts: SchemaFacts, name: string): Promise<void> {
  const collate = facts.collation === '' ? '' : ` COLLATE ${facts.collation}`;
  try {
    await session.run(`CREATE DATABASE ${identifier(name)} CHARACTER SET ${facts.charset}${collate}`);
  } catch (error) {
    throw new DguardError(
      'target_refused',
      `no database can be created beside the target: ${errorText(error)}`,
      {
        operation: 'restore',
        subject: mark.target,
        hint: createHint(serverErrorNumber(error) ?? 0, mark.target),
        cause: error,
      },
    );
  }
  try {
    await writeMark(session, name, mark);
  } catch (error) {
    await session.run(`DROP DATABASE ${identifier(name)}`).catch(() => {});
    throw error;
  }
}

function createHint(number: number, target: string): string {
  if (READ_ONLY.includes(number)) return 'the server is read-only: restore to its primary';
  if (UNKNOWN_CHARSET.includes(number))
    return 'the backup uses a character set or collation that this server does not have: restore to the make and version it is of, or load the dump (dguard cat ID database.sql) with another one in its place';
  return `as an administrator: GRANT ALL PRIVILEGES ON ${identifier(`${target.replace(/[_%]/g, '\\$&')}%`)}.* TO the account of the datasource`;
}

/** A marked, empty schema for what a restore loads, beside the target or under its name. What is interrupted leaves none. */
export async function createForLoad(
  { session, server, request, facts }: Pick<Work, 'session' | 'server' | 'request' | 'facts'>,
  mark: Mark & { readonly role: 'new' | 'scratch' },
  name = besideName(mark.target, mark.role, uniqueWord()),
): Promise<string> {
  const connection = await holdSchema(session, name);
  try {
    await createHeld(session, mark, facts, name);
    return name;
  } catch (error) {
    const isRefused = error instanceof DguardError && serverErrorNumber(error.cause) !== undefined;
    if (!request.signal.aborted || isRefused) throw error;
    await dropUnfinished(server, name, connection).catch((problem: unknown) => {
      const message = `the database ${name} may be left, empty: ${errorText(problem)}`;
      request.warn({ message, subject: name, partial: false, stays: true });
    });
    throw abortError(request.signal);
  }
}

/**
 * The server goes on with what a client that is gone has sent over its `connection`: that is waited for, then nothing of
 * it stays. What another session holds is not of this restore.
 */
async function dropUnfinished(server: Server, name: string, connection: string): Promise<void> {
  await withFreshSession(server, async (session) => {
    const isOver = await lookUntil(async () => {
      if ((await holderOf(session, name)) !== connection) return true;
      await session.run(`KILL ${connection}`).catch(() => {});
      return false;
    });
    if (!isOver) throw new Error('the server does not stop creating it');
    await holdSchema(session, name);
    if ((await readSchema(session, name)) === undefined) return;
    if ((await readMark(session, name)) === undefined && !(await isEmptySchema(session, name))) return;
    await session.run(`DROP DATABASE ${identifier(name)}`);
  });
}

/** After an abort, or with the connection gone, the restore's own session is broken: cleaning up needs another. */
export async function withFreshSession<T>(
  server: Server,
  use: (session: Session) => Promise<T>,
  signal = new AbortController().signal,
): Promise<T> {
  const again = openServer({ ...server.source, signal });
  try {
    return await withSession(() => again.open(), use);
  } finally {
    await again.dispose();
  }
}

/** Drops a schema of dguard's own. Throws where it carries no mark. */
export async function dropMarked(session: Session, name: string): Promise<void> {
  if ((await readMark(session, name)) === undefined) {
    throw new DguardError('target_refused', 'this database carries no mark of dguard', {
      operation: 'drop',
      subject: name,
    });
  }
  await session.run(`DROP DATABASE ${identifier(name)}`);
}

/**
 * Drops what was created for a target and not yet marked when its restore was killed: a schema of our naming that
 * holds nothing at all. The server cannot create one with its mark.
 */
export async function dropUnmarked(session: Session, target: string): Promise<string[]> {
  const pattern = besidePattern(target);
  const rows = await session.rows<{ name: string }>(
    'SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA',
  );
  const gone: string[] = [];
  for (const { name } of rows) {
    if (!pattern.test(name) || (await isHeld(session, name))) continue;
    if ((await readMark(session, name)) !== undefined || !(await isEmptySchema(session, name))) continue;
    const marks = `${identifier(name)}.${identifier(MARK_TABLE)}`;
    const documents = await session.rows(`SELECT 1 AS one FROM ${marks} LIMIT 1`).catch(() => []);
    if (documents.length > 0) continue;
    await session.run(`DROP DATABASE ${identifier(name)}`);
    gone.push(name);
  }
  return gone;
}
