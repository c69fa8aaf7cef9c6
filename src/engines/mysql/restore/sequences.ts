import { listTables } from '../server/catalog.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { moveReferences } from '../sql/references.ts';
import { joined, tokenize } from '../sql/tokens.ts';

/**
 * MariaDB writes the schema into a default that takes its value from a sequence, and a table that is renamed into another
 * schema goes on with the sequence of the old one. Lets the defaults in a schema refer to its own sequences that were
 * `from` another before. Safe to repeat.
 */
export async function moveSequenceDefaults(session: Session, schema: string, from: string): Promise<void> {
  const own = (await listTables(session, schema)).filter(({ kind }) => kind === 'sequence');
  if (own.length === 0) return;
  const rows = await session.rows<{ table: string; name: string; value: string }>(
    `SELECT TABLE_NAME AS \`table\`, COLUMN_NAME AS name, COLUMN_DEFAULT AS value FROM information_schema.COLUMNS
      WHERE TABLE_SCHEMA = ${literal(schema)} AND COLUMN_DEFAULT LIKE ${literal(`%${identifier(from).replace(/[\\%_]/g, '\\$&')}.%`)}`,
  );
  const there = own.map(({ name }) => `${identifier(from)}.${identifier(name)}`);
  for (const { table, name, value } of rows) {
    if (!there.some((sequence) => value.includes(sequence))) continue;
    const tokens = tokenize(value);
    moveReferences(tokens, from, schema);
    await session.run(
      `ALTER TABLE ${identifier(schema)}.${identifier(table)} ALTER COLUMN ${identifier(name)} SET DEFAULT (${joined(tokens)})`,
    );
  }
}
