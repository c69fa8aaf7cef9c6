import { errorText } from '../../../errors.ts';
import { identifier, literal, type Session } from './session.ts';

/** A foreign key of a table, and what it refers to. */
export interface ForeignKey {
  readonly table: string;
  readonly name: string;
  readonly references: { readonly schema: string; readonly table: string };
  /** In the server's own words: what stands before the name of the table that it refers to, and after it. */
  readonly before: string;
  readonly after: string;
}

/** As SHOW CREATE TABLE writes one: a line of its own, in which strings hold no end of a line. */
const DEFINITION =
  /^ *CONSTRAINT (`(?:[^`]|``)+`) (FOREIGN KEY \([^\n]*?\) REFERENCES) ((?:`(?:[^`]|``)+`\.)?`(?:[^`]|``)+`) (\([^\n]*?),?$/gm;

/**
 * Foreign keys of these tables of a schema that refer to any other table. They follow a table that is renamed, and
 * go on to refer to what they referred to.
 */
export async function readOutwardKeys(
  session: Session,
  schema: string,
  tables: readonly string[],
): Promise<ForeignKey[]> {
  const rows = await session.rows<{ t: string; k: string; rs: string; rt: string }>(
    `SELECT TABLE_NAME AS t, CONSTRAINT_NAME AS k, UNIQUE_CONSTRAINT_SCHEMA AS rs, REFERENCED_TABLE_NAME AS rt
      FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ${literal(schema)}
      ORDER BY TABLE_NAME, CONSTRAINT_NAME`,
  );
  const names = new Set(tables);
  const outward = rows.filter(({ t, rs, rt }) => names.has(t) && !(rs === schema && names.has(rt)));
  const found: ForeignKey[] = [];
  for (const table of new Set(outward.map(({ t }) => t))) {
    const [shown] = await session.rows<Record<string, string>>(
      `SHOW CREATE TABLE ${identifier(schema)}.${identifier(table)}`,
    );
    const definitions = new Map(
      [...(shown?.['Create Table'] ?? '').matchAll(DEFINITION)].map((match) => [match[1], match] as const),
    );
    for (const { k, rs, rt } of outward.filter(({ t }) => t === table)) {
      const definition = definitions.get(identifier(k));
      if (definition === undefined) throw new Error(`the foreign key ${k} of ${table} cannot be read`);
      const [, , before, , after] = definition as unknown as string[];
      found.push({ table, name: k, references: { schema: rs, table: rt }, before: before!, after: after! });
    }
  }
  return found;
}

/** Takes foreign keys away from tables of a schema, where they are there. Their indexes stay. */
export async function dropKeys(session: Session, schema: string, keys: readonly ForeignKey[]): Promise<void> {
  const there = await readNames(session, schema, keys);
  for (const key of keys.filter((one) => there.has(nameOf(one))))
    await session.run(
      `ALTER TABLE ${identifier(schema)}.${identifier(key.table)} DROP FOREIGN KEY ${identifier(key.name)}`,
    );
}

/**
 * Gives foreign keys to tables of a schema that do not have them; rows that are there are not looked at, as when a
 * dump is loaded. Those that cannot be are returned with the reason and their statement.
 */
export async function addKeys(
  session: Session,
  schema: string,
  keys: readonly ForeignKey[],
): Promise<string[]> {
  const there = await readNames(session, schema, keys);
  const missing = keys.filter((key) => !there.has(nameOf(key)));
  if (missing.length === 0) return [];
  const failed: string[] = [];
  await session.run('SET SESSION foreign_key_checks = 0');
  try {
    for (const { table, name, references, before, after } of missing) {
      const parent = `${identifier(references.schema)}.${identifier(references.table)}`;
      const statement = `ALTER TABLE ${identifier(schema)}.${identifier(table)} ADD CONSTRAINT ${identifier(name)} ${before} ${parent} ${after}`;
      try {
        const indexes = await readIndexes(session, schema, table);
        await session.run(statement);
        await nameIndexAsBefore(session, schema, table, indexes);
      } catch (error) {
        failed.push(`foreign key ${name} of ${table}: ${errorText(error)}: ${statement}`);
      }
    }
  } finally {
    await session.run('SET SESSION foreign_key_checks = 1').catch(() => {});
  }
  return failed;
}

/** An index that the server made for a foreign key takes the name of the next one that needs it. */
async function nameIndexAsBefore(
  session: Session,
  schema: string,
  table: string,
  before: ReadonlySet<string>,
): Promise<void> {
  const now = await readIndexes(session, schema, table);
  const gone = [...before].filter((name) => !now.has(name));
  const made = [...now].filter((name) => !before.has(name));
  if (gone.length !== 1 || made.length !== 1) return;
  await session.run(
    `ALTER TABLE ${identifier(schema)}.${identifier(table)} RENAME INDEX ${identifier(made[0]!)} TO ${identifier(gone[0]!)}`,
  );
}

async function readIndexes(session: Session, schema: string, table: string): Promise<ReadonlySet<string>> {
  const rows = await session.rows<{ name: string }>(
    `SELECT DISTINCT INDEX_NAME AS name FROM information_schema.STATISTICS
      WHERE TABLE_SCHEMA = ${literal(schema)} AND TABLE_NAME = ${literal(table)}`,
  );
  return new Set(rows.map(({ name }) => name));
}

async function readNames(
  session: Session,
  schema: string,
  keys: readonly ForeignKey[],
): Promise<ReadonlySet<string>> {
  if (keys.length === 0) return new Set();
  const rows = await session.rows<{ t: string; k: string }>(
    `SELECT TABLE_NAME AS t, CONSTRAINT_NAME AS k FROM information_schema.REFERENTIAL_CONSTRAINTS
      WHERE CONSTRAINT_SCHEMA = ${literal(schema)}`,
  );
  return new Set(rows.map(({ t, k }) => nameOf({ table: t, name: k })));
}

function nameOf({ table, name }: Pick<ForeignKey, 'table' | 'name'>): string {
  return `${identifier(table)}.${identifier(name)}`;
}
