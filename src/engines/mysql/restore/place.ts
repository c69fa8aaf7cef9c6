import { randomBytes } from 'node:crypto';
import { DguardError, errorText } from '../../../errors.ts';
import { listTables, type SchemaFacts } from '../server/catalog.ts';
import { listCode } from '../server/code.ts';
import { identifier, type Session } from '../server/session.ts';
import {
  besideName,
  besidePattern,
  holdSchema,
  isHeld,
  MARK_TABLE,
  type Mark,
  readMark,
  writeMark,
} from './marks.ts';

/** A word that keeps names beside one target apart. */
export function uniqueWord(): string {
  return randomBytes(4).toString('hex');
}

/**
 * Creates a marked, empty schema, held by this session; its name is given, or one beside the target's.
 */
export async function createMarked(
  session: Session,
  mark: Mark,
  facts: SchemaFacts,
  name = besideName(mark.target, mark.role === 'swap' ? 'undo' : mark.role, uniqueWord()),
): Promise<string> {
  await holdSchema(session, name);
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
        hint: `as an administrator: GRANT ALL PRIVILEGES ON ${identifier(`${mark.target.replace(/[_%]/g, '\\$&')}%`)}.* TO the account of the datasource`,
        cause: error,
      },
    );
  }
  await writeMark(session, name, mark);
  return name;
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

/** Whether a schema holds nothing of anybody's. */
export async function isEmptySchema(session: Session, schema: string): Promise<boolean> {
  return (await listTables(session, schema)).length === 0 && (await listCode(session, schema)).length === 0;
}
