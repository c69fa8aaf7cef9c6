import { randomBytes } from 'node:crypto';
import { DguardError, errorText } from '../../errors.ts';
import { listTables, type SchemaFacts } from './catalog.ts';
import { listCode } from './code.ts';
import { besideName, type Mark, readMark, writeMark } from './marks.ts';
import { identifier, type Session } from './session.ts';

/** A word that keeps names beside one target apart. */
export function uniqueWord(): string {
  return randomBytes(4).toString('hex');
}

/** Creates a marked, empty schema; its name is given, or one beside the target's. */
export async function createMarked(
  session: Session,
  mark: Mark,
  facts: SchemaFacts,
  name = besideName(mark.target, mark.role === 'swap' ? 'undo' : mark.role, uniqueWord()),
): Promise<string> {
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

/** Whether a schema holds nothing of anybody's. */
export async function isEmptySchema(session: Session, schema: string): Promise<boolean> {
  return (await listTables(session, schema)).length === 0 && (await listCode(session, schema)).length === 0;
}
