import { createHash } from 'node:crypto';
import type { TableInfo } from './catalog.ts';
import { readCode } from './code.ts';
import { isWord, moveReferences, rewriteCode } from './rewrite.ts';
import { identifier, type Session } from './session.ts';
import { joined, significant, tokenize } from './tokens.ts';

/**
 * SHA-256 over what the server says of all tables and code: the same for a schema and its restored copy on a
 * server of the same version. Definers, the next AUTO_INCREMENT, and whether events are on are left out: they
 * differ by right.
 */
export async function schemaHash(
  session: Session,
  schema: string,
  tables: readonly TableInfo[],
): Promise<string> {
  const lines: string[] = [];
  await session.run(`USE ${identifier(schema)}`);
  for (const { name, kind } of tables) {
    if (kind === 'view') continue;
    const [row] = await session.rows<Record<string, string>>(`SHOW CREATE TABLE ${identifier(name)}`);
    const sql = Object.entries(row!).find(([column]) => /^Create /i.test(column))![1];
    lines.push(JSON.stringify([kind, name, plainTable(sql, schema)]));
  }
  for (const { kind, name, sql, sqlMode } of await readCode(session, schema)) {
    const { sql: text } = rewriteCode(sql, {
      definer: 'strip',
      schema: { from: schema, to: 'x' },
      eventStatus: 'DISABLE',
    });
    lines.push(JSON.stringify([kind, name, text.replace(/\s+/g, ' '), kind === 'view' ? '' : sqlMode]));
  }
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}

function plainTable(sql: string, schema: string): string {
  const options = sql.lastIndexOf('\n)');
  const text = sql.slice(0, options) + sql.slice(options).replace(/ AUTO_INCREMENT=\d+/, '');
  const tokens = tokenize(text);
  moveReferences(tokens, schema, 'x');
  // MySQL writes a column's character set once its collation was said: a restored table's always was.
  const places = significant(tokens);
  for (const [at, place] of places.entries()) {
    if (!isWord(tokens[place], 'CHARACTER') || !isWord(tokens[places[at + 3]!], 'COLLATE')) continue;
    for (const gone of places.slice(at, at + 3)) tokens[gone] = { type: 'space', text: '' };
  }
  return joined(tokens).replace(/\s+/g, ' ');
}
