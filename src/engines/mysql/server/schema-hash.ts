import { createHash } from 'node:crypto';
import { moveReferences } from '../sql/references.ts';
import { rewriteCode } from '../sql/rewrite.ts';
import { isWord, joined, significant, tokenize } from '../sql/tokens.ts';
import type { TableInfo } from './catalog.ts';
import { readCode } from './code.ts';
import { serverErrorNumber } from './failures.ts';
import { identifier, type Session } from './session.ts';

/** What each object of a schema is, by `kind name`, in words that a restored copy has too. */
export type Definitions = ReadonlyMap<string, string>;

/** SHA-256 over the definitions: the same for a schema and its copy on a server of the same version. */
export async function schemaHash(
  session: Session,
  schema: string,
  tables: readonly TableInfo[],
): Promise<string> {
  return hashDefinitions(await readDefinitions(session, schema, tables));
}

export function hashDefinitions(definitions: Definitions): string {
  const lines = [...definitions].map((pair) => JSON.stringify(pair)).sort();
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

/**
 * Definitions as the server writes them, of these tables and of all code. Definers, the next AUTO_INCREMENT,
 * and whether events are on are left out: they differ by right. A table that is gone has none.
 */
export async function readDefinitions(
  session: Session,
  schema: string,
  tables: readonly TableInfo[],
): Promise<Definitions> {
  const found = new Map<string, string>();
  await session.run(`USE ${identifier(schema)}`);
  for (const { name, kind } of tables) {
    if (kind === 'view') continue;
    const [row] = await session
      .rows<Record<string, string>>(`SHOW CREATE TABLE ${identifier(name)}`)
      .catch((error: unknown) => {
        if (serverErrorNumber(error) === NO_SUCH_TABLE) return [];
        throw error;
      });
    if (row === undefined) continue;
    const sql = Object.entries(row).find(([column]) => /^Create /i.test(column))![1];
    found.set(`table ${name}`, plainTable(sql, schema));
  }
  for (const { kind, name, sql, sqlMode } of await readCode(session, schema, true)) {
    const { sql: text } = rewriteCode(sql, {
      definer: 'strip',
      schema: { from: schema, to: 'x' },
      eventStatus: 'DISABLE',
    });
    found.set(`${kind} ${name}`, `${kind === 'view' ? '' : sqlMode} ${text.replace(/\s+/g, ' ')}`);
  }
  return found;
}

const NO_SUCH_TABLE = 1146;

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
